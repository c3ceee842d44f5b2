//! Commands about the init itself: events, version, log priority, notifications.

use super::{Failure, Invocation};
use crate::names::{MANAGER, MANAGER_PATH};
use crate::options::UsageError;
use crate::remote::Remote;

pub(super) async fn emit(remote: &mut Remote, invocation: &Invocation) -> Result<(), Failure> {
    let name = invocation.first("event name")?;
    let env = invocation.words.get(1..).unwrap_or_default();
    Ok(remote.emit(name, env, invocation.wait()).await?)
}

pub(super) async fn version(remote: &mut Remote, output: &mut String) -> Result<(), Failure> {
    show_property(remote, "version", output).await
}

pub(super) async fn log_priority(
    remote: &mut Remote,
    invocation: &Invocation,
    output: &mut String,
) -> Result<(), Failure> {
    match invocation.words.first() {
        Some(priority) => Ok(remote.set_manager_property("log_priority", priority).await?),
        None => show_property(remote, "log_priority", output).await,
    }
}

/// Has a session or container end, with status 0 unless another is given.
pub(super) async fn exit(remote: &mut Remote, invocation: &Invocation) -> Result<(), Failure> {
    let status = match invocation.words.first() {
        None => 0,
        Some(word) => word.parse().map_err(|_| UsageError::Illegal("status", word.clone()))?,
    };
    Ok(remote.exit(status).await?)
}

async fn show_property(remote: &mut Remote, name: &str, output: &mut String) -> Result<(), Failure> {
    let value = remote.text_property(MANAGER_PATH, MANAGER, name).await?;
    output.push_str(&value);
    output.push('\n');
    Ok(())
}

/// The notifications: `member` takes an address, or nothing.
pub(super) async fn notify(remote: &mut Remote, invocation: &Invocation, member: &str) -> Result<(), Failure> {
    if member == "NotifyDiskWriteable" {
        return Ok(remote.manager::<_, ()>(member, &()).await?);
    }
    let address = invocation.first("address")?;
    Ok(remote.manager::<_, ()>(member, &address).await?)
}
