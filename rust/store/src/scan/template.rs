//! What a record has in common with an earlier one: those bytes are compared, not parsed again.
//!
//! The records of a sweep repeat most of each other: the environment, most of the configuration, the names of all
//! fields. A parser that is at the same field and meets the same bytes gives the same answer, so that the comparison
//! alone decides, as long as no value of those bytes is wanted.

use std::ops::Range;

use crate::json::bytes::common_start;

/// Bytes of a record that is worth the memory.
const MOST: usize = 1 << 18;
/// A template that serves fewer than one byte in so many does not pay.
const LEAST_SHARE: usize = 4;

/// The places of the fields of one object in a text: after its brace, after each comma, and after its end.
type Places = Box<[u32]>;

/// A record that passed the check of its plan, and the places of the objects that have all fields in order.
#[derive(Debug, Default)]
pub(super) struct Template {
    text: Box<str>,
    draft: Draft,
}

/// The places of the objects of a template.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// By the numbers of the objects in their plan.
    objects: Vec<Places>,
    /// The places of the members of the configuration, as for an object with fields.
    members: Places,
    /// The places of their values.
    values: Places,
}

impl Draft {
    /// Note the places of the fields of an object.
    pub fn note(&mut self, number: usize, places: Vec<u32>) {
        if self.objects.len() <= number {
            self.objects.resize(number + 1, Places::default());
        }
        self.objects[number] = places.into();
    }

    /// Note the places of the members of the configuration, of their values, and of its end.
    pub fn note_config(&mut self, mut members: Vec<u32>, values: Vec<u32>, end: u32) {
        members.push(end);
        (self.members, self.values) = (members.into(), values.into());
    }
}

impl Template {
    /// Return the places of the fields of an object; none if they are not known.
    #[inline]
    pub fn places(&self, number: usize) -> &[u32] {
        self.draft.objects.get(number).map_or(&[], |places| places)
    }

    /// Return the places of the members of the configuration; none if they are not known.
    pub fn members(&self) -> &[u32] {
        &self.draft.members
    }

    /// Return the key of a member of the configuration, with its colon.
    pub fn key(&self, member: usize) -> &[u8] {
        let range = self.draft.members.get(member).zip(self.draft.values.get(member));
        let text = range.and_then(|(start, value)| self.text.get(*start as usize..*value as usize));
        text.unwrap_or_default().as_bytes()
    }

    /// Return how many of some fields have the same bytes in another text, and the number of those bytes.
    #[inline]
    pub fn common(&self, places: &[u32], fields: Range<usize>, rest: &[u8]) -> (usize, usize) {
        let Some(places) = places.get(fields.start..=fields.end) else { return (0, 0) };
        let (first, last) = (places[0] as usize, places[places.len() - 1] as usize);
        let wanted = self.text.as_bytes().get(first..last).unwrap_or_default();
        let common = common_start(wanted, rest);
        if common == wanted.len() {
            return (fields.len(), common);
        }
        let count = places[1..].iter().take_while(|place| **place as usize - first <= common).count();
        (count, places[count] as usize - first)
    }
}

/// What the reader of consecutive records remembers of them.
#[derive(Debug, Default)]
pub(super) struct Memory {
    template: Option<Template>,
    /// The records in a row that had little in common with the template.
    misses: u32,
    /// The templates that did not fit.
    dropped: u32,
}

impl Memory {
    /// Return the template for the next record, or a draft if that record should become the template.
    pub fn prepare(&mut self) -> (Option<&Template>, Option<Draft>) {
        match &self.template {
            Some(template) => (Some(template), None),
            None => (None, Some(Draft::default())),
        }
    }

    /// Keep a record that passed the check.
    pub fn keep(&mut self, text: &str, draft: Draft) {
        if text.len() <= MOST {
            self.template = Some(Template { text: text.into(), draft });
        }
    }

    /// Note how many bytes of a record were the same; replace the template where it does not fit several records in a
    /// row, and more and more rarely where none fits.
    pub fn note(&mut self, same: usize, length: usize) {
        if same >= length / LEAST_SHARE {
            self.misses = 0;
            return;
        }
        self.misses += 1;
        if self.misses > 1 + self.dropped {
            *self = Self { dropped: self.dropped + 1, ..Self::default() };
        }
    }

    /// Begin other records: a template may fit again.
    pub fn renew(&mut self) {
        (self.misses, self.dropped) = (0, 0);
    }
}
