//! `token`: makes a token for a client of a server that has the same secret.

use crate::arguments::{Argument, Arguments, Failure, unknown};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use syncline::net::Claims;

pub const USAGE: &str = "\
Usage: syncline-server token --secrets PATH [--user NAME] [--read ROOM]... [--write ROOM]...
                             [--valid-s SECONDS] [--jwt]
       syncline-server token --new-secret

Prints a token to standard output.

  --secrets PATH     file with the secrets, one per line; the first one signs
  --user NAME        who will show the token
  --read ROOM        may be read; repeat for more. ROOM* means all that begin so
  --write ROOM       may be read and edited
  --valid-s SECONDS  how long it counts (default 3600; 0: for ever)
  --jwt              as JSON Web Token (HS256) instead of the shorter own form
  --new-secret       print a fresh secret instead
";

struct Wish {
    claims: Claims,
    secrets: String,
    valid_s: i64,
    jwt: bool,
}

/// Prints what was asked for.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let text = match parse(arguments)? {
        None => new_secret()?,
        Some(wish) => token(wish)?,
    };
    let written = writeln!(std::io::stdout(), "{text}");
    written.map_err(|error| Failure::Failed(error.to_string()))
}

fn parse(mut arguments: Arguments) -> Result<Option<Wish>, Failure> {
    let mut wish = Wish {
        claims: Claims::default(),
        secrets: String::new(),
        valid_s: 3600,
        jwt: false,
    };
    while let Some(argument) = arguments.next()? {
        let Argument::Flag(flag) = &argument else {
            return Err(unknown(&argument));
        };
        match flag.as_str() {
            "--new-secret" => return Ok(None),
            "--secrets" => wish.secrets = arguments.value()?,
            "--user" => wish.claims.user = Some(arguments.value()?),
            "--read" => wish.claims.read.push(arguments.value()?),
            "--write" => wish.claims.write.push(arguments.value()?),
            "--valid-s" => wish.valid_s = arguments.parsed()?,
            "--jwt" => wish.jwt = true,
            _ => return Err(unknown(&argument)),
        }
    }
    if wish.secrets.is_empty() {
        return Err(Failure::Usage("--secrets is needed".to_owned()));
    }
    Ok(Some(wish))
}

fn token(mut wish: Wish) -> Result<String, Failure> {
    let secrets = read_secrets(&wish.secrets).map_err(Failure::Failed)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.map_or(0, |now| now.as_secs() as i64);
    wish.claims.expires_s = (wish.valid_s != 0).then(|| now_s.saturating_add(wish.valid_s));
    let signed = match wish.jwt {
        true => wish.claims.sign_jwt(&secrets[0]),
        false => wish.claims.sign(&secrets[0]),
    };
    signed.map_err(|error| Failure::Failed(error.to_string()))
}

/// 256 bits as text.
fn new_secret() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| Failure::Failed(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The secrets in a file: its lines that are not empty. At least one.
pub fn read_secrets(path: &str) -> Result<Vec<Vec<u8>>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Vec<_> = lines.map(|line| line.as_bytes().to_vec()).collect();
    match secrets.is_empty() {
        true => Err(format!("{path}: there is no secret in it")),
        false => Ok(secrets),
    }
}
