//! The archive: what the journal is about to forget, kept on disk for longer, in a sled database.
//!
//! Only the program `init-history` opens the database; it follows the journal at its own pace, and answers questions over a
//! socket ([`serve`]). The init neither waits for it nor needs it, and the whole of it may be deleted at any time.

mod block;
mod command;
mod entry;
mod ingest;
mod lines;
mod older;
mod serve;
mod show;
mod store;
mod together;

pub use command::main;
pub use entry::{Entry, Kind, entries};
pub use ingest::{Archivist, Progress};
pub use lines::Lines;
pub use serve::{Answer, Question, ask, serve};
pub use store::{Archived, Boot, Limits, Run, Store, StoreError, now_us};
pub use together::{NumberedBoot, Told, Witnesses};
