//! Tokens that the server checks by itself: who may do what in which rooms, until when.
//!
//! Layer: `net`. Two forms with the same claims, both signed with a shared secret (HMAC-SHA256): our
//! own, `s1.CLAIMS.SIGNATURE`, and JSON Web Tokens with `HS256`, for those who have a library that
//! makes them. Claims are a JSON object:
//!
//! | claim | |
//! |---|---|
//! | `sub` | who; any text |
//! | `exp`, `nbf` | not from then on, not before then, in seconds since 1970 |
//! | `write`, `read` | rooms: exact names, or beginnings of names followed by `*` |

use super::authorize::{Access, Authorizer, Authorizing, Grant, JoinRequest};
use crate::codec::{Value, Wtf8String, json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// First part of our own form; no JWT starts with it.
const OWN_FORM: &str = "s1";
const JWT_HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// A longer token is refused before it is looked at.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// A shorter secret could be guessed.
pub const SECRET_BYTES_MIN: usize = 16;
const BLOCK_BYTES: usize = 64;

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Who shows it.
    pub user: Option<String>,
    /// The first second in which it does not count any more, since 1970.
    pub expires_s: Option<i64>,
    /// The first second in which it counts, since 1970.
    pub starts_s: Option<i64>,
    /// Rooms that may be read: names, or beginnings of names followed by `*`.
    pub read: Vec<String>,
    /// Rooms that may be read and edited.
    pub write: Vec<String>,
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// Neither our own form nor a JWT.
    Malformed,
    /// A JWT with another algorithm than `HS256`, or with extensions it declares critical.
    Unsupported,
    /// Not signed with any of the secrets.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::Malformed => "the token is malformed",
            TokenError::Unsupported => "the token is not signed with HS256",
            TokenError::Signature => "the token's signature is wrong",
            TokenError::Expired => "the token has expired",
            TokenError::NotYet => "the token does not count yet",
        })
    }
}

impl std::error::Error for TokenError {}

/// A secret that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortSecret;

impl fmt::Display for ShortSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret has at least {SECRET_BYTES_MIN} bytes")
    }
}

impl std::error::Error for ShortSecret {}

impl Claims {
    /// What a bearer may do in a room.
    pub fn access(&self, room: &str) -> Access {
        let names = |rooms: &[String]| rooms.iter().any(|pattern| matches(pattern, room));
        if names(&self.write) {
            Access::Write
        } else if names(&self.read) {
            Access::Read
        } else {
            Access::Deny
        }
    }

    /// A token of our own form.
    ///
    /// # Errors
    /// [`ShortSecret`].
    pub fn sign(&self, secret: &[u8]) -> Result<String, ShortSecret> {
        signed(OWN_FORM, &self.to_json(), secret)
    }

    /// A JSON Web Token with `HS256`.
    ///
    /// # Errors
    /// [`ShortSecret`].
    pub fn sign_jwt(&self, secret: &[u8]) -> Result<String, ShortSecret> {
        signed(&URL_SAFE_NO_PAD.encode(JWT_HEADER), &self.to_json(), secret)
    }

    /// Reads a token of either form and checks signature and time.
    ///
    /// # Errors
    /// [`TokenError`]; nothing of a token with a wrong signature is believed.
    pub fn verify(token: &str, secrets: &[Vec<u8>], now_s: i64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, body) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if header != OWN_FORM {
            check_header(&decoded(header)?)?;
        }
        let signature = decoded(signature)?;
        let is_signed =
            |secret: &Vec<u8>| same(&hmac_sha256(secret, signed.as_bytes()), &signature);
        if !secrets.iter().any(is_signed) {
            return Err(TokenError::Signature);
        }
        let claims = Claims::from_json(&decoded(body)?).ok_or(TokenError::Malformed)?;
        if claims.expires_s.is_some_and(|expires_s| now_s >= expires_s) {
            return Err(TokenError::Expired);
        }
        if claims.starts_s.is_some_and(|starts_s| now_s < starts_s) {
            return Err(TokenError::NotYet);
        }
        Ok(claims)
    }

    fn to_json(&self) -> Vec<u8> {
        let texts = |texts: &[String]| {
            let texts = texts.iter();
            Value::Array(
                texts
                    .map(|text| Value::String(text.as_str().into()))
                    .collect(),
            )
        };
        let mut members: Vec<(Wtf8String, Value)> = Vec::new();
        if let Some(user) = &self.user {
            members.push(("sub".into(), Value::String(user.as_str().into())));
        }
        if let Some(seconds) = self.expires_s {
            members.push(("exp".into(), Value::Int(seconds)));
        }
        if let Some(seconds) = self.starts_s {
            members.push(("nbf".into(), Value::Int(seconds)));
        }
        members.push(("read".into(), texts(&self.read)));
        members.push(("write".into(), texts(&self.write)));
        let mut text = Vec::new();
        json::encode(&Value::Object(members), &mut text).expect("texts and numbers are JSON");
        text
    }

    /// Claims that are not ours are skipped; ours must have their types.
    fn from_json(text: &[u8]) -> Option<Claims> {
        let value = json::decode(text).ok()?;
        let Value::Object(members) = &value else {
            return None;
        };
        let mut claims = Claims::default();
        for (name, value) in members {
            match name.as_bytes() {
                b"sub" => claims.user = Some(text_of(value)?),
                b"exp" => claims.expires_s = Some(seconds_of(value)?),
                b"nbf" => claims.starts_s = Some(seconds_of(value)?),
                b"read" => claims.read = texts_of(value)?,
                b"write" => claims.write = texts_of(value)?,
                _ => {}
            }
        }
        Some(claims)
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.as_str().map(str::to_owned),
        _ => None,
    }
}

/// JWT allows fractions of a second.
fn seconds_of(value: &Value) -> Option<i64> {
    match value {
        Value::Int(seconds) => Some(*seconds),
        // Saturates, and NaN is no JSON.
        Value::Double(seconds) => Some(*seconds as i64),
        _ => None,
    }
}

fn texts_of(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => values.iter().map(text_of).collect(),
        _ => None,
    }
}

fn matches(pattern: &str, room: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => room.starts_with(prefix),
        None => pattern == room,
    }
}

fn check_header(text: &[u8]) -> Result<(), TokenError> {
    let value = json::decode(text).map_err(|_| TokenError::Malformed)?;
    let Value::Object(members) = &value else {
        return Err(TokenError::Malformed);
    };
    let member = |key: &str| {
        let mut members = members.iter();
        members.find(|(name, _)| name.as_bytes() == key.as_bytes())
    };
    let is_hs256 = member("alg").is_some_and(|(_, value)| *value == Value::String("HS256".into()));
    if !is_hs256 || member("crit").is_some() {
        return Err(TokenError::Unsupported);
    }
    Ok(())
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    bytes.map_err(|_| TokenError::Malformed)
}

fn signed(header: &str, body: &[u8], secret: &[u8]) -> Result<String, ShortSecret> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(ShortSecret);
    }
    let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(body));
    let signature = hmac_sha256(secret, token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// RFC 2104.
fn hmac_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let mut key = [0; BLOCK_BYTES];
    if secret.len() > BLOCK_BYTES {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let inner = Sha256::new()
        .chain_update(key.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    let outer = Sha256::new()
        .chain_update(key.map(|byte| byte ^ 0x5c))
        .chain_update(inner);
    outer.finalize().into()
}

/// In a time that does not depend on where they differ.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |bits, (a, b)| bits | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differing) == 0
}

/// Lets in who shows a token that counts for the room.
pub struct TokenAuthorizer {
    secrets: Vec<Vec<u8>>,
}

impl TokenAuthorizer {
    /// Accepts tokens signed with any of these secrets: the old one stays until its tokens have
    /// expired.
    ///
    /// # Errors
    /// [`ShortSecret`].
    pub fn new(secrets: Vec<Vec<u8>>) -> Result<Self, ShortSecret> {
        match secrets
            .iter()
            .all(|secret| secret.len() >= SECRET_BYTES_MIN)
        {
            true => Ok(TokenAuthorizer { secrets }),
            false => Err(ShortSecret),
        }
    }

    fn grant(&self, request: &JoinRequest) -> Grant {
        let Some(token) = &request.token else {
            return Grant::deny("no token");
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = now.map_or(0, |now| now.as_secs() as i64);
        match Claims::verify(token, &self.secrets, now_s) {
            Err(error) => Grant::deny(error.to_string()),
            Ok(claims) => Grant {
                access: claims.access(&request.room),
                user: claims.user.map(Into::into),
                expires_ms: claims.expires_s.map(|seconds| seconds.saturating_mul(1000)),
                reason: Some("the token is not for this room".to_owned()),
            },
        }
    }
}

impl Authorizer for TokenAuthorizer {
    fn authorize(&self, request: JoinRequest) -> Authorizing<'_> {
        Box::pin(std::future::ready(Ok(self.grant(&request))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn claims() -> Claims {
        Claims {
            user: Some("anna".into()),
            expires_s: Some(2_000),
            starts_s: Some(1_000),
            read: vec!["news".into(), "team/*".into()],
            write: vec!["team/a".into()],
        }
    }

    fn verify(token: &str, now_s: i64) -> Result<Claims, TokenError> {
        Claims::verify(
            token,
            &[b"another secret of 16".to_vec(), SECRET.to_vec()],
            now_s,
        )
    }

    /// RFC 4231, cases 1, 2 and 6.
    #[test]
    fn hmac_is_as_the_standard_says() {
        for (key, message, start) in [
            (vec![0x0b; 20], &b"Hi There"[..], [0xb0, 0x34, 0x4c, 0x61]),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?",
                [0x5b, 0xdc, 0xc1, 0x46],
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                [0x60, 0xe4, 0x31, 0x59],
            ),
        ] {
            assert_eq!(hmac_sha256(&key, message)[..4], start);
        }
    }

    /// RFC 7515, appendix A.1: made elsewhere, and its claims are not ours.
    #[test]
    fn a_foreign_web_token_is_read() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = URL_SAFE_NO_PAD.decode(key).unwrap();
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
             eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
             dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let claims = Claims::verify(token, std::slice::from_ref(&key), 1_300_819_379).unwrap();
        assert_eq!(claims.access("any"), Access::Deny);
        assert_eq!(
            Claims::verify(token, &[key], 1_300_819_380),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn both_forms_say_the_same_and_any_changed_character_is_noticed() {
        for token in [
            claims().sign(SECRET).unwrap(),
            claims().sign_jwt(SECRET).unwrap(),
        ] {
            assert_eq!(verify(&token, 1_500), Ok(claims()));
            assert_eq!(verify(&token, 2_000), Err(TokenError::Expired));
            assert_eq!(verify(&token, 999), Err(TokenError::NotYet));
            for at in 0..token.len() {
                let mut forged = token.clone().into_bytes();
                forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
                let forged = String::from_utf8(forged).unwrap();
                assert!(verify(&forged, 1_500).is_err(), "{at}");
                assert!(verify(&token[..at], 1_500).is_err(), "{at}");
            }
        }
        assert_eq!(claims().sign(b"short"), Err(ShortSecret));
        assert!(TokenAuthorizer::new(vec![b"short".to_vec()]).is_err());
    }

    #[test]
    fn other_algorithms_are_refused_although_the_signature_is_right() {
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":"HS256","crit":["x"]}"#,
        ] {
            let header = URL_SAFE_NO_PAD.encode(header);
            let token = signed(&header, &claims().to_json(), SECRET).unwrap();
            assert_eq!(verify(&token, 1_500), Err(TokenError::Unsupported));
        }
        for body in [
            r#"{"write":"*"}"#,
            r#"{"exp":"never"}"#,
            "[]",
            r#"{"sub":7}"#,
        ] {
            let token = signed(OWN_FORM, body.as_bytes(), SECRET).unwrap();
            assert_eq!(verify(&token, 1_500), Err(TokenError::Malformed), "{body}");
        }
        assert_eq!(
            verify(&"a".repeat(TOKEN_BYTES_MAX + 1), 0),
            Err(TokenError::Malformed)
        );
    }

    #[test]
    fn rooms_are_names_or_beginnings() {
        let claims = claims();
        for (room, access) in [
            ("news", Access::Read),
            ("news2", Access::Deny),
            ("team/", Access::Read),
            ("team/a", Access::Write),
            ("team/ab", Access::Read),
            ("", Access::Deny),
        ] {
            assert_eq!(claims.access(room), access, "{room}");
        }
    }
}
