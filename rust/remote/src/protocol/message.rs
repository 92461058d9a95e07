//! The requests of a save, the answers, and its end.

/// The number of a save: random, and part of the metadata of each object that it creates.
pub type SaveId = u128;

/// An object of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `result.json`.
    Record,
    /// `timeseries.parquet`.
    Sidecar,
}

/// A request of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// List the names that begin with the base name.
    List {
        /// The suffix that the save asks for.
        wished: Option<u64>,
    },
    /// Create an object, if its key is free.
    Put {
        /// The suffix of the name.
        suffix: u64,
        /// The object.
        part: Part,
        /// The record names a sidecar.
        with_sidecar: bool,
    },
    /// Read the metadata of an object.
    Head {
        /// The suffix of the name.
        suffix: u64,
        /// The object.
        part: Part,
    },
    /// Remove this save's own sidecar.
    Delete {
        /// The suffix of the name.
        suffix: u64,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The object was created, or removed.
    Done,
    /// An object has the key.
    Exists,
    /// Another request for the key was in progress, and this one had no effect.
    Conflict,
    /// No answer came, or one after which the request may have had its effect, or may have it later.
    Lost,
    /// The request never reached the store.
    NotSent,
    /// The store refused the request, and would refuse it again; it had no effect.
    Refused,
    /// The object exists, and has the number of a save, or none.
    Owner(Option<SaveId>),
    /// There is no such object.
    Absent,
    /// The names were listed.
    Listed {
        /// The largest odd suffix among them.
        largest: Option<u64>,
        /// The name that the save asks for has a record without a sidecar.
        wished_is_bare: bool,
    },
}

/// The end of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The record is in place.
    Saved {
        /// The suffix of the name.
        suffix: u64,
        /// The record names a sidecar, which is in place.
        with_sidecar: bool,
    },
    /// There is no record of this save, and there will not be one.
    Failed,
    /// The record may be in place, or may appear later.
    Unknown {
        /// The suffix of the name.
        suffix: u64,
    },
    /// The store overwrote an object that it was asked to create.
    Overwritten {
        /// The suffix of the name.
        suffix: u64,
        /// A sidecar is next to the record.
        with_sidecar: bool,
    },
}

/// The next suffixes of a name, as far as a process knows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Start {
    /// For a record without a sidecar.
    pub even: u64,
    /// For a sidecar; `None` before the names were listed.
    pub odd: Option<u64>,
    /// One to try first: odd for a sidecar, and even without one.
    pub wished: Option<u64>,
}
