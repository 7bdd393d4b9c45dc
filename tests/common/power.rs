//! A host that loses power at an exact moment.

use super::world::{World, await_that};

/// Tells that the package is installed, and lets dpkg go no further.
const REACHED: &str = "/run/installed";
/// dpkg runs this when it is done, before the agent hears of that.
const HOOK: &str = "/etc/dpkg/dpkg.cfg.d/hold";

/// Begins to apply a service, and cuts the host's power the moment its package is installed and configured, before anything of ours is
/// there. The operator's program dies, too; the host comes back.
pub fn lose_power_once_installed(world: &World, host: &str, service: &str, package: &str) {
    let hold = format!(
        "if dpkg-query --show --showformat '${{db:Status-Status}}' {package} | grep -qx installed; then touch {REACHED}; sleep 600; fi"
    );
    world.on(host, &["sh", "-c", "printf 'post-invoke=%s\\n' \"$0\" > \"$1\"", &hold, HOOK]);
    let run = world.start(&["apply", "--yes", "--only", service]);
    await_that("the package is installed", 120, || run.is_over() || world.succeeds(host, &["test", "-e", REACHED]));
    assert_eq!(run.kill().code, None, "the run ended by itself");
    world.sandbox().power_off(host).unwrap();
    world.sandbox().power_on(host).unwrap();
    world.on(host, &["rm", HOOK]);
    await_that("the host is back", 60, || world.run(&["status"]).code != Some(4));
}
