
#define SYNCLINE_VERSION_MAJOR @MAJOR@
#define SYNCLINE_VERSION_MINOR @MINOR@
#define SYNCLINE_VERSION_PATCH @PATCH@
/* Raised when compiled programs must be compiled again; equals the number in the shared library's
 * name. Compare it when you load the library: syncline_library_check(SYNCLINE_ABI). */
#define SYNCLINE_ABI 0

/* What every function does, so that it need not be said of each:
 *
 * - Any function may be called on any thread, with any handle. What cannot run now waits, and
 *   waiting has an end (BUSY).
 * - Every pointer you give is NULL or points to what its type says, and stays valid for the call.
 *   NULL where something is needed is INVALID_ARGUMENT. Strings are UTF-8; NUL is an ordinary
 *   character in them.
 * - A negative status is an error: nothing was changed and no out_ parameter was written.
 *   syncline_error_last() tells more. Plain questions answer 0, false or empty for an object that
 *   is NULL or closed.
 * - Handles from out_ parameters and _retain are yours; give each back once with _free, which takes
 *   NULL and never fails. Parts keep their whole alive: a text its document. Borrowed strings and
 *   bytes live as long as what they were asked from.
 * - Structs that begin with struct_size: set it (SYNCLINE_OPTIONS does); zero in every other field
 *   is the default, and NULL instead of the struct means all defaults. */

#if defined(_WIN32) && !defined(SYNCLINE_STATIC)
#  define SYNCLINE_API __declspec(dllimport)
#elif defined(__GNUC__) || defined(__clang__)
#  define SYNCLINE_API __attribute__((visibility("default")))
#else
#  define SYNCLINE_API
#endif
#if defined(__GNUC__) || defined(__clang__)
#  define SYNCLINE_DEPRECATED(why) __attribute__((deprecated(why)))
#elif defined(_MSC_VER)
#  define SYNCLINE_DEPRECATED(why) __declspec(deprecated(why))
#else
#  define SYNCLINE_DEPRECATED(why)
#endif

/**
 * Borrowed UTF-8, may contain NUL.
 */
typedef struct syncline_string {
  /**
   * May be NULL when len is 0.
   */
  const char *data;
  /**
   * In bytes.
   */
  size_t len;
} syncline_string;

/* SYNCLINE_STR("literal"): a string literal as syncline_string. */
#ifdef __cplusplus
#  define SYNCLINE_STR(literal) (syncline_string{(literal), sizeof(literal) - 1})
#else
#  define SYNCLINE_STR(literal) ((syncline_string){(literal), sizeof(literal) - 1})
#endif

/* SYNCLINE_OPTIONS(syncline_queue_options, .bytes_max = 1024): a pointer to an option struct with
 * its size set, valid until the end of the block (C99). */
#ifndef __cplusplus
#  define SYNCLINE_OPTIONS(type, ...) (&(type){ .struct_size = sizeof(type), __VA_ARGS__ })
#endif

/**
 * A NUL-terminated string as syncline_string; NULL is empty.
 */
static inline syncline_string syncline_str(const char *nul_terminated) {
  syncline_string s;
  size_t n = 0;
  if (nul_terminated) {
    while (nul_terminated[n]) {
      n++;
    }
  }
  s.data = nul_terminated;
  s.len = n;
  return s;
}
