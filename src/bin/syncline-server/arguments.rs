//! Reads the words of a command line: `--flag value`, `--flag=value`, and what stands for itself.

/// Why a subcommand ends without having done its work.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// `--help` was asked for.
    Help,
    /// `--version` was asked for.
    Version,
    /// The arguments are not understood.
    Usage(String),
    /// It could not be done.
    Failed(String),
}

/// One argument.
#[derive(Debug, PartialEq, Eq)]
pub enum Argument {
    /// With its dashes, without its value.
    Flag(String),
    /// Stands for itself.
    Word(String),
}

/// Arguments that are read from left to right.
pub struct Arguments {
    words: std::vec::IntoIter<String>,
    /// The flag read last, and the value that came with it behind a `=`.
    flag: String,
    inline: Option<String>,
}

impl Arguments {
    pub fn new(words: Vec<String>) -> Self {
        Arguments {
            words: words.into_iter(),
            flag: String::new(),
            inline: None,
        }
    }

    /// The next argument; `None` at the end.
    ///
    /// # Errors
    /// The flag before it was given a value that nobody asked for; `--help` and `--version`.
    pub fn next(&mut self) -> Result<Option<Argument>, Failure> {
        if self.inline.is_some() {
            return Err(Failure::Usage(format!("{} takes no value", self.flag)));
        }
        let Some(word) = self.words.next() else {
            return Ok(None);
        };
        if !word.starts_with('-') || word == "-" {
            return Ok(Some(Argument::Word(word)));
        }
        (self.flag, self.inline) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        match self.flag.as_str() {
            "--help" | "-h" => Err(Failure::Help),
            "--version" | "-V" => Err(Failure::Version),
            flag => Ok(Some(Argument::Flag(flag.to_owned()))),
        }
    }

    /// The value of the flag that was read last.
    pub fn value(&mut self) -> Result<String, Failure> {
        let value = self.inline.take().or_else(|| self.words.next());
        value.ok_or_else(|| Failure::Usage(format!("{} needs a value", self.flag)))
    }

    /// The same, as something else than text.
    pub fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, Failure> {
        let value = self.value()?;
        let refused = |_| Failure::Usage(format!("{}: {value:?} is no such value", self.flag));
        value.parse().map_err(refused)
    }
}

/// What to answer to an argument that nobody knows.
pub fn unknown(argument: &Argument) -> Failure {
    let (Argument::Flag(word) | Argument::Word(word)) = argument;
    Failure::Usage(format!("unknown argument {word:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Arguments {
        Arguments::new(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn flags_words_and_values_are_told_apart() {
        let mut read = arguments(&["file", "--a", "x", "--b=y=z", "-", "--c"]);
        assert_eq!(read.next(), Ok(Some(Argument::Word("file".into()))));
        assert_eq!(read.next(), Ok(Some(Argument::Flag("--a".into()))));
        assert_eq!(read.value(), Ok("x".into()));
        assert_eq!(read.next(), Ok(Some(Argument::Flag("--b".into()))));
        assert_eq!(read.value(), Ok("y=z".into()));
        assert_eq!(read.next(), Ok(Some(Argument::Word("-".into()))));
        assert_eq!(read.next(), Ok(Some(Argument::Flag("--c".into()))));
        let missing = Failure::Usage("--c needs a value".into());
        assert_eq!(read.value(), Err(missing));
        assert_eq!(read.next(), Ok(None));
    }

    #[test]
    fn values_that_nobody_wants_are_refused() {
        let mut read = arguments(&["--a=1", "--b"]);
        assert!(read.next().is_ok());
        let refused = Failure::Usage("--a takes no value".into());
        assert_eq!(read.next(), Err(refused));
        assert_eq!(arguments(&["-h"]).next(), Err(Failure::Help));
        assert_eq!(arguments(&["--version"]).next(), Err(Failure::Version));
        let mut number = arguments(&["--n", "x"]);
        assert!(number.next().is_ok());
        assert!(matches!(number.parsed::<u16>(), Err(Failure::Usage(_))));
    }
}
