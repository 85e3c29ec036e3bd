//! A file descriptor that is readable while a flag is set: an eventfd on Linux, a pipe elsewhere.
//! Level-triggered: it stays readable until the flag is cleared.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The flag with its descriptor. Closed on drop.
pub(crate) struct Signal {
    read: OwnedFd,
    /// The other end of the pipe; an eventfd has one end only.
    #[cfg(not(target_os = "linux"))]
    write: OwnedFd,
}

impl Signal {
    /// A cleared flag.
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        let read = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Signal { read })
    }

    /// A cleared flag.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: the array has room for both ends; the result is checked.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: two new descriptors that nobody else owns.
        let (read, write) =
            unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        for end in [&read, &write] {
            // SAFETY: a live descriptor and flags without pointers.
            unsafe {
                libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
                libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
            }
        }
        Ok(Signal { read, write })
    }

    /// What to wait for.
    pub(crate) fn fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    fn write_end(&self) -> RawFd {
        #[cfg(target_os = "linux")]
        return self.read.as_raw_fd();
        #[cfg(not(target_os = "linux"))]
        return self.write.as_raw_fd();
    }

    /// Makes it readable. Not to be called twice in a row.
    pub(crate) fn set(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes. Non-blocking; it cannot be full, because `set` and
        // `clear` alternate. No SIGPIPE: both ends are open.
        while unsafe { libc::write(self.write_end(), one.as_ptr().cast(), one.len()) } < 0 {
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break;
            }
        }
    }

    /// Makes it not readable.
    pub(crate) fn clear(&self) {
        let mut eight = [0u8; 8];
        // SAFETY: eight writable bytes, what one `set` wrote. Non-blocking.
        while unsafe { libc::read(self.fd(), eight.as_mut_ptr().cast(), eight.len()) } < 0 {
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(signal: &Signal) -> bool {
        let mut poll = libc::pollfd {
            fd: signal.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one live pollfd.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    #[test]
    fn it_is_readable_exactly_while_it_is_set() {
        let signal = Signal::new().unwrap();
        for _ in 0..3 {
            assert!(!readable(&signal));
            signal.set();
            assert!(readable(&signal) && readable(&signal));
            signal.clear();
        }
        assert!(!readable(&signal));
    }
}
