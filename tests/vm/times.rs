//! How long a boot takes: from the kernel's start to the login prompt, of the same files and the same kernel.

use crate::error::VmError;
use crate::image;
use crate::machine::{self, Machine, Setup};
use crate::options::{Init, Options};
use crate::scenario::BOOT;
use crate::tools::Scratch;
use std::time::Instant;

/// What the kernel says when it starts process 1, and what getty says when it is ready.
const MILESTONES: [&str; 3] = ["Linux version ", " as init process", "vm login: "];

/// Boots each init once, and prints the times.
pub(crate) fn measure(options: &Options) -> Result<(), VmError> {
    machine::need()?;
    let scratch = Scratch::new()?;
    println!("{:10} {:>14} {:>14} {:>14}", "", "kernel", "init to login", "all");
    for init in Init::ALL.into_iter().filter(|&init| options.init.is_none_or(|wanted| wanted == init)) {
        let image = image::build(&scratch, init, options)?;
        let setup = Setup::of(&image, init.name(), &options.kernel_words, &scratch);
        let mut machine = Machine::start(&setup)?;
        let mut at = Vec::new();
        for milestone in MILESTONES {
            machine.console.wait_for(milestone, BOOT)?;
            at.push(Instant::now());
        }
        let between = |from: usize, to: usize| at[to].duration_since(at[from]).as_secs_f64();
        println!("{:10} {:12.1} s {:12.1} s {:12.1} s", init.name(), between(0, 1), between(1, 2), between(0, 2));
        drop(machine);
        std::fs::remove_file(&image.disk).map_err(VmError::at("remove", &image.disk))?;
    }
    Ok(())
}
