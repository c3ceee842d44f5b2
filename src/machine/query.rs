//! Questions that change nothing: what D-Bus methods and properties that only read are answered with.

use alloc::string::{String, ToString};
use alloc::sync::Arc;

use crate::effect::CallError;
use crate::environ::{self, Table};
use crate::job::Instance;
use crate::state::State;

/// The instance that these variables mean (`GetInstance`).
///
/// # Errors
/// When the class or the instance is unknown, or its name cannot be made of the variables.
pub fn instance_by_environment<'a>(state: &'a State, class: &str, given: &[String]) -> Result<&'a Instance, CallError> {
    let record = state.class(class).ok_or_else(|| CallError::UnknownJob(class.into()))?;
    if !environ::is_valid(given) {
        return Err(CallError::MalformedEnvironment);
    }
    let mut table: Table = state.environment().to_vec();
    environ::extend(&mut table, &record.definition.env, &state.settings().origin);
    environ::extend(&mut table, given, &[]);
    let name = environ::expand(&record.definition.instance, &table)
        .map_err(|error| CallError::Expansion(error.to_string()))?;
    state.find(class, &name).ok_or(CallError::UnknownInstance(name))
}

/// The number of the instance whose table is meant by a `job` argument.
///
/// # Errors
/// When the class or the instance is unknown.
pub fn instance_for_environment(state: &State, class: &str, name: &str) -> Result<u64, CallError> {
    let record = state.class(class).ok_or_else(|| CallError::UnknownJob(class.into()))?;
    let unknown = || CallError::UnknownJobInstance((name.to_string(), class.to_string()).into());
    record.instances.get(name).copied().ok_or_else(unknown)
}

/// The table that a `job` argument means: that of an instance, or the global one.
///
/// # Errors
/// When the class or the instance is unknown.
pub fn table<'a>(state: &'a State, job: Option<(&str, &str)>) -> Result<&'a [Arc<str>], CallError> {
    match job {
        None => Ok(state.environment()),
        Some((class, name)) => {
            let number = instance_for_environment(state, class, name)?;
            Ok(state.instance(number).map_or(&[][..], |instance| &instance.environment))
        }
    }
}

/// One variable of a table (`GetEnv`).
///
/// # Errors
/// When the table or the variable does not exist, or the variable has no name.
pub fn variable<'a>(state: &'a State, job: Option<(&str, &str)>, name: &str) -> Result<&'a str, CallError> {
    if name.is_empty() {
        return Err(CallError::EmptyVariable);
    }
    environ::get(table(state, job)?, name).ok_or_else(|| CallError::NoSuchVariable(name.into()))
}
