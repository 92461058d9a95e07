//! The configuration: an object with any keys, most of which have the values of an earlier record.

use super::{Parser, place_of};
use crate::json::cursor::Refusal;
use crate::scan::template::Template;

impl Parser<'_, '_> {
    /// Check the configuration, from its brace.
    pub(super) fn config(&mut self) -> Result<(), Refusal> {
        if let Some(template) = self.template {
            let start = self.cursor.place();
            if self.has_members_of(template)? {
                return Ok(());
            }
            self.cursor.go_back(start);
        }
        let (mut members, mut values) = (Vec::new(), Vec::new());
        let Some(draft) = &mut self.draft else { return self.cursor.skip(0) };
        self.cursor.members(1, |member, value| {
            members.push(place_of(member));
            values.push(place_of(value));
        })?;
        draft.note_config(members, values, place_of(self.cursor.place()));
        Ok(())
    }

    /// Take a configuration with the keys of a template, or the first of them, in the same order; check the values that
    /// are others. Where it has other keys, return `false`, at any place.
    ///
    /// Each key occurs once, as in the template.
    fn has_members_of(&mut self, template: &Template) -> Result<bool, Refusal> {
        let members = template.members();
        let count = members.len().saturating_sub(1);
        self.cursor.take(1);
        // The first member begins behind white space.
        self.cursor.peek();
        let mut next = 0;
        while next < count {
            let (same, bytes) = template.common(members, next..count, self.cursor.rest());
            self.cursor.take(bytes);
            self.same += bytes;
            next += same;
            if next == count {
                return Ok(true);
            }
            let key = template.key(next);
            if !self.cursor.rest().starts_with(key) {
                return Ok(false);
            }
            self.cursor.take(key.len());
            self.cursor.skip(1)?;
            next += 1;
            if !self.cursor.has_next(b'}')? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
