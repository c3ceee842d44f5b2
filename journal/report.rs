//! What was found in a journal and what was done about it, as data. Every finding has a rule, and every rule is a row of
//! the repair table in FORMAT.md.

use std::fmt;

use crate::Identity;

/// One row of the repair table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the repair table in FORMAT.md and the findings describe each")]
pub enum Rule {
    EmptyDirectory,
    TornTail,
    DamagedMiddle,
    MissingSegment,
    MissingBase,
    UnreachableSegment,
    SupersededSegment,
    DamagedHeader,
    MisplacedSegment,
    ShortSegment,
    EmptySegment,
    NoSegment,
    DamagedCheckpoint,
    RedundantFile,
    LeftoverTemporary,
    UnknownFile,
    ForeignBoot,
    ForeignPidNamespace,
    NewerVersion,
    NoRoomForRepair,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong.
    Note,
    /// Something was interrupted and has been put in order; no acknowledged frame is lost.
    Repaired,
    /// Acknowledged frames may be lost. The roll call of what really runs must tell.
    Loss,
    /// The journal cannot be used by this program.
    Refused,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 20] = [
        Self::EmptyDirectory,
        Self::TornTail,
        Self::DamagedMiddle,
        Self::MissingSegment,
        Self::MissingBase,
        Self::UnreachableSegment,
        Self::SupersededSegment,
        Self::DamagedHeader,
        Self::MisplacedSegment,
        Self::ShortSegment,
        Self::EmptySegment,
        Self::NoSegment,
        Self::DamagedCheckpoint,
        Self::RedundantFile,
        Self::LeftoverTemporary,
        Self::UnknownFile,
        Self::ForeignBoot,
        Self::ForeignPidNamespace,
        Self::NewerVersion,
        Self::NoRoomForRepair,
    ];

    /// Its name in the repair table.
    pub fn name(self) -> &'static str {
        match self {
            Self::EmptyDirectory => "empty-directory",
            Self::TornTail => "torn-tail",
            Self::DamagedMiddle => "damaged-middle",
            Self::MissingSegment => "missing-segment",
            Self::MissingBase => "missing-base",
            Self::UnreachableSegment => "unreachable-segment",
            Self::SupersededSegment => "superseded-segment",
            Self::DamagedHeader => "damaged-header",
            Self::MisplacedSegment => "misplaced-segment",
            Self::ShortSegment => "short-segment",
            Self::EmptySegment => "empty-segment",
            Self::NoSegment => "no-segment",
            Self::DamagedCheckpoint => "damaged-checkpoint",
            Self::RedundantFile => "redundant-file",
            Self::LeftoverTemporary => "leftover-temporary",
            Self::UnknownFile => "unknown-file",
            Self::ForeignBoot => "foreign-boot",
            Self::ForeignPidNamespace => "foreign-pid-namespace",
            Self::NewerVersion => "newer-version",
            Self::NoRoomForRepair => "no-room-for-repair",
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::EmptyDirectory
            | Self::NoSegment
            | Self::RedundantFile
            | Self::UnknownFile
            | Self::ForeignBoot
            | Self::ForeignPidNamespace => Severity::Note,
            Self::TornTail
            | Self::SupersededSegment
            | Self::ShortSegment
            | Self::EmptySegment
            | Self::MisplacedSegment
            | Self::DamagedCheckpoint
            | Self::LeftoverTemporary
            | Self::NoRoomForRepair => Severity::Repaired,
            Self::DamagedMiddle
            | Self::MissingSegment
            | Self::MissingBase
            | Self::UnreachableSegment
            | Self::DamagedHeader => Severity::Loss,
            Self::NewerVersion => Severity::Refused,
        }
    }
}

/// One thing that was found. Offsets and sizes are in bytes; files are names in the journal's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// There was no journal.
    EmptyDirectory,
    /// The last append did not arrive whole. It was never acknowledged; what arrived of it is void.
    TornTail {
        /// Segment number.
        segment: u64,
        /// End of the last whole frame.
        offset: u64,
        /// Length of what is void.
        residue_bytes: u64,
    },
    /// A frame is damaged and others come after it. Those are not replayed.
    DamagedMiddle {
        /// Segment number.
        segment: u64,
        /// End of the last good frame.
        offset: u64,
        /// Length of what is not replayed, in this segment.
        residue_bytes: u64,
    },
    /// A segment is gone, and others are there that came later.
    MissingSegment {
        /// The first number that is not there.
        number: u64,
    },
    /// There are segments, but no checkpoint for them to go on from, and the first of all is gone.
    MissingBase,
    /// What this segment goes on from is lost.
    UnreachableSegment {
        /// Its name.
        file: String,
    },
    /// An earlier repair has gone on without this segment.
    SupersededSegment {
        /// Its name.
        file: String,
    },
    /// A segment whose header is damaged.
    DamagedHeader {
        /// Its name.
        file: String,
    },
    /// A segment whose header says that it is another one: a copy, or renamed.
    MisplacedSegment {
        /// Its name.
        file: String,
        /// The number in its header.
        number: u64,
    },
    /// The last segment's file is not of the size it was made with.
    ShortSegment {
        /// Its name.
        file: String,
        /// Size found.
        size_bytes: u64,
        /// Size it was made with.
        capacity_bytes: u64,
    },
    /// A segment file without a single byte that is not zero.
    EmptySegment {
        /// Its name.
        file: String,
    },
    /// A checkpoint without a segment to go on in: room had run out.
    NoSegment,
    /// A checkpoint that is damaged. The one before it is used.
    DamagedCheckpoint {
        /// Its name.
        file: String,
    },
    /// A file that newer checkpoints have made superfluous: the writer ended before it could remove it.
    RedundantFile {
        /// Its name.
        file: String,
    },
    /// A file that was being written when the writer ended.
    LeftoverTemporary {
        /// Its name.
        file: String,
    },
    /// A file that is not the journal's. It is left alone.
    UnknownFile {
        /// Its name.
        file: String,
    },
    /// The journal is from another boot: no pid in it is to be believed.
    ForeignBoot {
        /// Whose it is.
        found: Identity,
    },
    /// The journal is from another pid namespace of this boot: no pid in it is to be believed.
    ForeignPidNamespace {
        /// Whose it is.
        found: Identity,
    },
    /// A file of a newer format.
    NewerVersion {
        /// Its name.
        file: String,
        /// Its version.
        version: u16,
    },
    /// There was no room to set things aside and begin a new segment. Nothing was lost by that: the next open or append
    /// with room does it.
    NoRoomForRepair,
}

impl Finding {
    /// The row of the repair table that says what is done about it.
    pub fn rule(&self) -> Rule {
        match self {
            Self::EmptyDirectory => Rule::EmptyDirectory,
            Self::TornTail { .. } => Rule::TornTail,
            Self::DamagedMiddle { .. } => Rule::DamagedMiddle,
            Self::MissingSegment { .. } => Rule::MissingSegment,
            Self::MissingBase => Rule::MissingBase,
            Self::UnreachableSegment { .. } => Rule::UnreachableSegment,
            Self::SupersededSegment { .. } => Rule::SupersededSegment,
            Self::DamagedHeader { .. } => Rule::DamagedHeader,
            Self::MisplacedSegment { .. } => Rule::MisplacedSegment,
            Self::ShortSegment { .. } => Rule::ShortSegment,
            Self::EmptySegment { .. } => Rule::EmptySegment,
            Self::NoSegment => Rule::NoSegment,
            Self::DamagedCheckpoint { .. } => Rule::DamagedCheckpoint,
            Self::RedundantFile { .. } => Rule::RedundantFile,
            Self::LeftoverTemporary { .. } => Rule::LeftoverTemporary,
            Self::UnknownFile { .. } => Rule::UnknownFile,
            Self::ForeignBoot { .. } => Rule::ForeignBoot,
            Self::ForeignPidNamespace { .. } => Rule::ForeignPidNamespace,
            Self::NewerVersion { .. } => Rule::NewerVersion,
            Self::NoRoomForRepair => Rule::NoRoomForRepair,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule().name())?;
        match self {
            Self::EmptyDirectory => f.write_str("there was no journal"),
            Self::TornTail { segment, offset, residue_bytes } => {
                write!(f, "segment {segment}: cut an unfinished append of {residue_bytes} bytes at {offset}")
            }
            Self::DamagedMiddle { segment, offset, residue_bytes } => {
                write!(f, "segment {segment}: damage at {offset}, {residue_bytes} bytes not replayed")
            }
            Self::MissingSegment { number } => write!(f, "segment {number} is gone"),
            Self::MissingBase => f.write_str("no checkpoint and no first segment"),
            Self::ShortSegment { file, size_bytes, capacity_bytes } => {
                write!(f, "{file}: {size_bytes} bytes of {capacity_bytes}")
            }
            Self::MisplacedSegment { file, number } => write!(f, "{file} is segment {number}"),
            Self::NoSegment => f.write_str("the checkpoint has no segment to go on in"),
            Self::UnreachableSegment { file }
            | Self::SupersededSegment { file }
            | Self::DamagedHeader { file }
            | Self::EmptySegment { file }
            | Self::DamagedCheckpoint { file }
            | Self::RedundantFile { file }
            | Self::LeftoverTemporary { file }
            | Self::UnknownFile { file } => f.write_str(file),
            Self::ForeignBoot { found } | Self::ForeignPidNamespace { found } => {
                write!(f, "written by {found}")
            }
            Self::NewerVersion { file, version } => write!(f, "{file} has version {version}"),
            Self::NoRoomForRepair => f.write_str("nothing was set aside"),
        }
    }
}

/// Everything that was found in a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Every finding, in the order found.
    pub findings: Vec<Finding>,
    /// Number that the newest good checkpoint stands at.
    pub checkpoint_sequence: Option<u64>,
    /// Frames after it.
    pub frames: u64,
    /// Number of the last good frame, or the checkpoint's; 0 when there is neither.
    pub last_sequence: u64,
    /// Segments that the frames were read from.
    pub segments: u64,
    /// Bytes that the frames take, their headers and padding included.
    pub frame_bytes: u64,
    /// Who wrote the newest of it.
    pub identity: Option<Identity>,
}

impl Report {
    /// The worst that was found.
    pub fn severity(&self) -> Severity {
        let severities = self.findings.iter().map(|f| f.rule().severity());
        severities.max().unwrap_or(Severity::Note)
    }

    /// Whether nothing is wrong with the journal.
    pub fn is_clean(&self) -> bool {
        self.severity() == Severity::Note
    }

    /// Whether the rule has been applied at least once.
    pub fn applied(&self, rule: Rule) -> bool {
        self.findings.iter().any(|finding| finding.rule() == rule)
    }
}
