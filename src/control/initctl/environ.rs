//! Commands about job environment tables.
//!
//! Inside a job they mean the table of that instance, otherwise (or with `--global`) the table for all jobs.

use super::{Failure, Invocation, own_job};
use crate::remote::Remote;

/// How D-Bus names a table: nothing for the global one, or job and instance.
fn table(invocation: &Invocation) -> Vec<String> {
    match own_job() {
        Some((job, instance)) if !invocation.line.has("global") => vec![job, instance],
        _ => Vec::new(),
    }
}

pub(super) async fn list(remote: &mut Remote, invocation: &Invocation, output: &mut String) -> Result<(), Failure> {
    let mut variables: Vec<String> = remote.manager("ListEnv", &table(invocation)).await?;
    variables.sort_unstable();
    for variable in variables {
        output.push_str(&variable);
        output.push('\n');
    }
    Ok(())
}

pub(super) async fn get(remote: &mut Remote, invocation: &Invocation, output: &mut String) -> Result<(), Failure> {
    let name = invocation.first("variable name")?;
    let arguments = (table(invocation), name);
    let value: String = remote.manager("GetEnv", &arguments).await?;
    output.push_str(&value);
    output.push('\n');
    Ok(())
}

pub(super) async fn set(remote: &mut Remote, invocation: &Invocation) -> Result<(), Failure> {
    let replace = !invocation.line.has("retain");
    let table = table(invocation);
    let set = match invocation.words.as_slice() {
        [variable] => {
            let arguments = (table, variable, replace);
            remote.manager("SetEnv", &arguments).await
        }
        variables => {
            let arguments = (table, variables, replace);
            remote.manager("SetEnvList", &arguments).await
        }
    };
    set.map_err(Failure::Call)
}

pub(super) async fn unset(remote: &mut Remote, invocation: &Invocation) -> Result<(), Failure> {
    let table = table(invocation);
    let unset = match invocation.words.as_slice() {
        [name] => remote.manager("UnsetEnv", &(table, name)).await,
        names => remote.manager("UnsetEnvList", &(table, names)).await,
    };
    unset.map_err(Failure::Call)
}

pub(super) async fn reset(remote: &mut Remote, invocation: &Invocation) -> Result<(), Failure> {
    let reset = remote.manager("ResetEnv", &table(invocation)).await;
    reset.map_err(Failure::Call)
}
