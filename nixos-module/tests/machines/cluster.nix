# The trackers of a host are linked, until a switch turns that off for one of them, and
# again when another switch turns it on.
{ module, ... }:
{
  name = "aquatic-cluster";

  nodes.tracker = {
    imports = [ module ];
    services.aquatic = {
      enable = true;
      http.enable = true;
    };
    system.switch.enable = true;
    specialisation.apart.configuration.services.aquatic.http.settings.cluster.local = false;
  };

  testScript = ''
    def status(daemon):
        return f"systemctl show -P StatusText aquatic-{daemon}.service"

    def wait_until_linked():
        tracker.wait_until_succeeds(status("udp") + " | grep 'linked with aquatic-http'")
        tracker.wait_until_succeeds(status("http") + " | grep 'linked with aquatic-udp'")

    wait_until_linked()
    before = tracker.succeed("systemctl show -P MainPID aquatic-udp.service")

    switch = "bin/switch-to-configuration test"
    tracker.succeed(f"/run/booted-system/specialisation/apart/{switch}")
    tracker.wait_until_fails(status("udp") + " | grep linked")
    tracker.fail("test -e /run/aquatic/aquatic-http.sock")

    tracker.succeed(f"/run/booted-system/{switch}")
    wait_until_linked()
    after = tracker.succeed("systemctl show -P MainPID aquatic-udp.service")
    assert after == before, "the other tracker was restarted"
  '';
}
