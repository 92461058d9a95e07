//! A pull parser of strict JSON (RFC 8259), for text whose form is mostly known.
//!
//! It reports a fault without its place: a second parse finds that. Beyond the grammar, it rejects what some readers
//! of JSON take and others do not: a key that occurs twice in an object, half a surrogate pair, a number beyond the
//! range of a 64-bit float, an integer of more than [`MAX_DIGITS`] digits, and nesting below [`MAX_DEPTH`] levels.

mod keys;
mod refusal;

use std::borrow::Cow;
use std::fmt;

use super::bytes::{begins, end_of_plain};
use super::text::without_place;
use crate::interrupt::Interrupt;
use keys::Keys;
pub use refusal::Refusal;

/// Maximum nesting of lists and objects in one value, as for a value that a program gives to the model.
pub const MAX_DEPTH: usize = 128;
/// Maximum digits of an integer: Python refuses to parse more.
pub const MAX_DIGITS: usize = 4299;
/// Bytes of lists and objects between two checks of an interrupt.
const UNIT_BYTES: usize = 1 << 18;

/// A string in its JSON form.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'de> {
    /// The text with its quotes.
    pub text: &'de str,
    has_escapes: bool,
}

impl<'de> Quoted<'de> {
    /// Return the content if it has no escapes.
    #[inline]
    pub fn plain(self) -> Option<&'de str> {
        if self.has_escapes { None } else { self.text.get(1..self.text.len() - 1) }
    }

    /// Decode the string.
    #[inline]
    pub fn decode(self) -> Cow<'de, str> {
        match self.plain() {
            Some(plain) => Cow::Borrowed(plain),
            None => Cow::Owned(serde_json::from_str(self.text).unwrap_or_default()),
        }
    }
}

/// A number in its JSON form.
#[derive(Debug, Clone, Copy)]
pub struct Digits<'de> {
    pub text: &'de str,
    /// The number has neither a point nor an exponent.
    pub is_integer: bool,
}

impl Digits<'_> {
    /// Return the nearest float; infinity beyond its range.
    #[inline]
    pub fn to_float(self) -> f64 {
        self.text.parse().unwrap_or(f64::INFINITY)
    }
}

/// A parser and its place in a text.
#[derive(Debug)]
pub struct Cursor<'de> {
    text: &'de str,
    at: usize,
    /// The keys of the objects around the place, as far as they are few.
    keys: Vec<Cow<'de, str>>,
    interrupt: Interrupt<'de>,
    /// The place from which on the next check is due.
    due: usize,
}

impl<'de> Cursor<'de> {
    /// Begin a text; once the caller has cancelled, the next element of a list or an object is refused.
    pub fn new(text: &'de str, interrupt: Interrupt<'de>) -> Self {
        Self { text, at: 0, keys: Vec::new(), interrupt, due: UNIT_BYTES }
    }

    /// Return the place.
    #[inline]
    pub fn place(&self) -> usize {
        self.at
    }

    /// Return the text from a place to the present one.
    #[inline]
    pub fn since(&self, place: usize) -> &'de str {
        self.text.get(place..self.at).unwrap_or_default()
    }

    /// Return the bytes from the place on.
    #[inline]
    pub fn rest(&self) -> &'de [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Take bytes that the caller knows.
    #[inline]
    pub fn take(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Go back to an earlier place.
    pub fn go_back(&mut self, place: usize) {
        self.at = place;
    }

    /// Return the next byte after white space, without taking it; 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        match self.byte() {
            byte @ (0..=b' ' | 0x7f..) => self.peek_further(byte),
            byte => byte,
        }
    }

    fn peek_further(&mut self, mut byte: u8) -> u8 {
        while matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
            byte = self.byte();
        }
        byte
    }

    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Take a text, if it is next.
    #[inline]
    pub fn eat(&mut self, expected: &str) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_next = begins(rest, expected.as_bytes());
        if is_next {
            self.at += expected.len();
        }
        is_next
    }

    /// Take a byte after white space.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<(), Refusal> {
        if self.peek() == byte {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected(format_args!("{:?}", char::from(byte))))
    }

    #[cold]
    fn unexpected(&self, expected: impl fmt::Display) -> Refusal {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => Refusal::new(format_args!("expected {expected}, got {found:?}")),
            None => Refusal::new(format_args!("expected {expected}, got the end of the file")),
        }
    }

    /// Check that only white space is left.
    pub fn end(&mut self) -> Result<(), Refusal> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(self.unexpected("the end of the file")) }
    }

    /// Return whether an object or a list has another element after the last one, and take the comma or the end.
    #[inline]
    pub fn has_next(&mut self, close: u8) -> Result<bool, Refusal> {
        let byte = self.peek();
        if byte == b',' || byte == close {
            self.at += 1;
            if self.at >= self.due {
                self.check_interrupt()?;
            }
            return Ok(byte == b',');
        }
        Err(self.unexpected(format_args!("',' or {:?}", char::from(close))))
    }

    #[cold]
    fn check_interrupt(&mut self) -> Result<(), Refusal> {
        self.due = self.at + UNIT_BYTES;
        if self.interrupt.is_cancelled() { Err(Refusal::cancelled()) } else { Ok(()) }
    }

    /// Take the end of an object or a list, if it is next: it has no elements.
    #[inline]
    pub fn is_closed(&mut self, close: u8) -> bool {
        // Not `self.at += usize::from(is_closed)`: rustc 1.95 with one codegen unit, as in the published wheel, then
        // leaves the byte of an empty list in place.
        if self.peek() == close {
            self.at += 1;
            return true;
        }
        false
    }

    /// Take a key and its colon.
    #[inline]
    pub fn key(&mut self) -> Result<Quoted<'de>, Refusal> {
        if self.peek() != b'"' {
            return Err(self.unexpected("a key"));
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Take a literal that begins here.
    #[inline]
    pub fn literal(&mut self, literal: &str) -> Result<(), Refusal> {
        if self.eat(literal) { Ok(()) } else { Err(self.unexpected("a JSON value")) }
    }

    /// Take a string that begins here.
    #[inline]
    pub fn string(&mut self) -> Result<Quoted<'de>, Refusal> {
        let start = self.at;
        let has_escapes = self.skip_string()?;
        Ok(Quoted { text: self.since(start), has_escapes })
    }

    /// Take a string that begins here, and return whether it has escapes.
    #[inline]
    pub fn skip_string(&mut self) -> Result<bool, Refusal> {
        let bytes = self.text.as_bytes();
        let end = end_of_plain(bytes, self.at + 1);
        if bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(false);
        }
        self.skip_escapes(end).map(|()| true)
    }

    #[cold]
    fn skip_escapes(&mut self, mut end: usize) -> Result<(), Refusal> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                // The byte after a backslash may be a quote; the decoder below checks it.
                Some(b'\\') => end = end_of_plain(bytes, end + 2),
                Some(_) => return Err(Refusal::new("has a control character in a string")),
                None => return Err(Refusal::new("ends within a string")),
            }
        }
        let text = self.text.get(self.at..=end).unwrap_or_default();
        serde_json::from_str::<String>(text).map_err(without_place).map_err(Refusal::new)?;
        self.at = end + 1;
        Ok(())
    }

    /// Take a number that begins here.
    #[inline]
    pub fn number(&mut self) -> Result<Digits<'de>, Refusal> {
        let start = self.at;
        if self.byte() == b'-' {
            self.at += 1;
        }
        let leading = self.byte();
        let integer = self.digits()?;
        if leading == b'0' && integer > 1 {
            return Err(Refusal::new("has a number that begins with 0"));
        }
        let mut is_integer = true;
        let mut next = self.byte();
        if next == b'.' {
            is_integer = false;
            self.at += 1;
            self.digits()?;
            next = self.byte();
        }
        let has_exponent = matches!(next, b'e' | b'E');
        if has_exponent {
            is_integer = false;
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        let digits = Digits { text: self.since(start), is_integer };
        if has_exponent || integer > FEW_DIGITS {
            check_range(digits, integer)?;
        }
        Ok(digits)
    }

    /// Take at least one digit, and return the number of them.
    #[inline]
    fn digits(&mut self) -> Result<usize, Refusal> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        if count == 0 { Err(self.unexpected("a digit")) } else { Ok(count) }
    }

    /// Take any value; `depth` lists and objects are around it.
    pub fn skip(&mut self, depth: usize) -> Result<(), Refusal> {
        match self.peek() {
            b'"' => self.skip_string().map(drop),
            b'n' => self.literal("null"),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'{' | b'[' if depth >= MAX_DEPTH => {
                Err(Refusal::new(format_args!("is nested more than {MAX_DEPTH} levels deep")))
            }
            b'{' => self.members(depth + 1, |_, _| {}),
            b'[' => self.skip_list(depth + 1),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => Err(self.unexpected("a JSON value")),
        }
    }

    fn skip_list(&mut self, depth: usize) -> Result<(), Refusal> {
        self.at += 1;
        if self.is_closed(b']') {
            return Ok(());
        }
        loop {
            self.skip(depth)?;
            if !self.has_next(b']')? {
                return Ok(());
            }
        }
    }

    /// Take an object from its brace, and pass on the places of its members, and of their values: the first member begins
    /// behind the white space after the brace, the others at their comma's end. The object is one of the `depth` lists and
    /// objects around its values.
    pub fn members(&mut self, depth: usize, mut note: impl FnMut(usize, usize)) -> Result<(), Refusal> {
        self.at += 1;
        if self.is_closed(b'}') {
            return Ok(());
        }
        let mut keys = Keys::new(self.keys.len());
        loop {
            let start = self.at;
            let key = self.key()?.decode();
            keys.add(key, &mut self.keys)?;
            self.peek();
            note(start, self.at);
            self.skip(depth)?;
            if !self.has_next(b'}')? {
                self.keys.truncate(keys.base);
                return Ok(());
            }
        }
    }
}

/// A number of so many digits and no exponent is in the range of a float.
pub const FEW_DIGITS: usize = 300;

#[cold]
fn check_range(digits: Digits<'_>, integer: usize) -> Result<(), Refusal> {
    if digits.is_integer && integer > MAX_DIGITS {
        return Err(Refusal::new(format_args!("has an integer of more than {MAX_DIGITS} digits")));
    }
    if !digits.is_integer && digits.to_float().is_infinite() {
        return Err(Refusal::new(format_args!(
            "has the number {}, which no 64-bit float holds",
            digits.text
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
