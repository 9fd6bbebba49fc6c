//! A reader of JSON (RFC 8259) that finds what a message contains, value by value, and copies
//! nothing.
//!
//! What is in session descriptions, which are most of a message, is for clients: it is only
//! checked that it is JSON, because it becomes a part of other messages. Libraries do not tell
//! a value that is to be passed on from one that is needed, or look at each byte of it; here,
//! strings are searched 16 bytes at a time.

mod text;

pub(crate) use text::Text;

/// How deep lists and objects may be nested in a value that is passed on or ignored.
pub(crate) const MAX_DEPTH: u32 = 128;

/// It is not JSON, or nested more than [`MAX_DEPTH`] deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A value, or the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Begun<'a> {
    Null,
    Bool,
    /// Rounded away from 0, and limited to the range of the type.
    Number(i64),
    Text(Text<'a>),
    /// Elements follow: [`Reader::has_element`].
    List,
    /// Members follow: [`Reader::member`].
    Object,
}

/// Reads a text from its beginning to its end.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    /// On a boundary of characters: only ASCII is consumed one byte at a time.
    at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads a value that is not a list or an object, or the bracket that begins one.
    #[inline]
    pub(crate) fn begin(&mut self) -> Result<Begun<'a>, Malformed> {
        match self.skip_space() {
            Some(b'"') => {
                self.at += 1;
                self.rest_of_text().map(Begun::Text)
            }
            Some(b'{') => {
                self.at += 1;
                Ok(Begun::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Begun::List)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Begun::Number),
            Some(b'n') => self.literal("null").map(|()| Begun::Null),
            Some(b't') => self.literal("true").map(|()| Begun::Bool),
            Some(b'f') => self.literal("false").map(|()| Begun::Bool),
            _ => Err(Malformed),
        }
    }

    /// Whether the list has another element, which then follows; otherwise its end has been
    /// read. `is_first` is whether no element was read before.
    #[inline]
    pub(crate) fn has_element(&mut self, is_first: bool) -> Result<bool, Malformed> {
        let next = self.skip_space();
        if next == Some(b']') {
            self.at += 1;
            return Ok(false);
        }
        self.separator(is_first, next)?;
        Ok(true)
    }

    /// The name of the next member of the object, whose value follows; `None` if its end has
    /// been read. `is_first` is whether no member was read before.
    #[inline]
    pub(crate) fn member(&mut self, is_first: bool) -> Result<Option<Text<'a>>, Malformed> {
        let next = self.skip_space();
        if next == Some(b'}') {
            self.at += 1;
            return Ok(None);
        }
        self.separator(is_first, next)?;
        self.expect(b'"')?;
        let name = self.rest_of_text()?;
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// Reads the comma before every element but the first.
    #[inline]
    fn separator(&mut self, is_first: bool, next: Option<u8>) -> Result<(), Malformed> {
        match (is_first, next) {
            (true, _) => Ok(()),
            (false, Some(b',')) => {
                self.at += 1;
                Ok(())
            }
            (false, _) => Err(Malformed),
        }
    }

    /// Reads a value of any type, and returns it as it was written, without space around it.
    #[inline]
    pub(crate) fn raw(&mut self) -> Result<&'a str, Malformed> {
        self.skip_space();
        let start = self.at;
        let begun = self.begin()?;
        self.skip(begun)?;
        Ok(&self.text[start..self.at])
    }

    /// Reads what is left of a value that has begun.
    #[inline]
    pub(crate) fn skip(&mut self, begun: Begun<'_>) -> Result<(), Malformed> {
        match begun {
            Begun::List => self.skip_nested(false),
            Begun::Object => self.skip_nested(true),
            _ => Ok(()),
        }
    }

    /// Reads a list or an object to its end, after its first bracket.
    fn skip_nested(&mut self, is_object: bool) -> Result<(), Malformed> {
        // A bit for each bracket, the innermost last: whether it is that of an object.
        let mut objects = u128::from(is_object);
        let mut depth = 1;
        let mut is_first = true;
        // Each round reads a byte or more.
        while depth > 0 {
            let has_value = if objects & 1 == 1 {
                self.member(is_first)?.is_some()
            } else {
                self.has_element(is_first)?
            };
            is_first = false;
            if !has_value {
                objects >>= 1;
                depth -= 1;
                continue;
            }
            let begun = self.begin()?;
            if matches!(begun, Begun::List | Begun::Object) {
                if depth == MAX_DEPTH {
                    return Err(Malformed);
                }
                objects = objects << 1 | u128::from(begun == Begun::Object);
                depth += 1;
                is_first = true;
            }
        }
        Ok(())
    }

    /// Checks that nothing but space is left.
    #[inline]
    pub(crate) fn end(mut self) -> Result<(), Malformed> {
        self.skip_space().map_or(Ok(()), |_| Err(Malformed))
    }

    /// The next byte that is not space, which is not consumed.
    #[inline]
    fn skip_space(&mut self) -> Option<u8> {
        loop {
            let next = *self.text.as_bytes().get(self.at)?;
            if !matches!(next, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(next);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.skip_space() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), Malformed> {
        if self.text.as_bytes()[self.at..].starts_with(literal.as_bytes()) {
            self.at += literal.len();
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    #[inline]
    fn rest_of_text(&mut self) -> Result<Text<'a>, Malformed> {
        let text = Text::read(&self.text[self.at..])?;
        self.at += text.encoded().len() + 1;
        Ok(text)
    }

    #[inline]
    fn number(&mut self) -> Result<i64, Malformed> {
        let start = self.at;
        self.skip_byte(b'-');
        let has_zero = self.skip_byte(b'0');
        // Nothing may follow a leading zero.
        if has_zero == (self.digits() > 0) {
            return Err(Malformed);
        }
        let has_fraction = self.skip_byte(b'.');
        if has_fraction && self.digits() == 0 {
            return Err(Malformed);
        }
        let has_exponent = self.skip_byte(b'e') || self.skip_byte(b'E');
        if has_exponent {
            let _sign = self.skip_byte(b'+') || self.skip_byte(b'-');
            if self.digits() == 0 {
                return Err(Malformed);
            }
        }
        let number = &self.text[start..self.at];
        if !has_fraction
            && !has_exponent
            && let Ok(number) = number.parse()
        {
            return Ok(number);
        }
        let number: f64 = number.parse().map_err(|_| Malformed)?;
        Ok(number.abs().ceil().copysign(number) as i64)
    }

    #[inline]
    fn skip_byte(&mut self, byte: u8) -> bool {
        let is_next = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Skips digits, and returns their number.
    #[inline]
    fn digits(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }
}

#[cfg(test)]
mod tests;
