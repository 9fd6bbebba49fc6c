# A switch to a configuration with another access list reloads the tracker: the
# process stays, and the list is the new one.
{ module, ... }:
{
  name = "aquatic-reload";

  nodes.tracker =
    { lib, ... }:
    {
      imports = [ module ];
      services.aquatic = {
        enable = true;
        udp.accessList = {
          mode = "allow";
          infoHashes = [ "0123456789abcdef0123456789abcdef01234567" ];
        };
      };
      system.switch.enable = true;
      specialisation.other.configuration.services.aquatic.udp.accessList.infoHashes = lib.mkForce [
        "d69f91e6b2ae4c542468d1073a71d4ea13879a7f"
      ];
    };

  testScript = ''
    def process():
        return tracker.succeed("systemctl show -P MainPID aquatic-udp.service")

    tracker.wait_for_unit("aquatic-udp.service")
    before = process()
    tracker.succeed("grep 0123456789abcdef /etc/aquatic/aquatic-udp.access-list")

    tracker.succeed("/run/booted-system/specialisation/other/bin/switch-to-configuration test")
    tracker.succeed("grep d69f91e6b2ae4c54 /etc/aquatic/aquatic-udp.access-list")
    tracker.wait_until_succeeds("journalctl -u aquatic-udp.service | grep 'Reloaded'")
    assert process() == before, "the tracker was restarted"

    # A list that makes no sense is refused, and the tracker goes on.
    tracker.succeed("rm /etc/aquatic/aquatic-udp.access-list")
    tracker.succeed("echo nonsense > /etc/aquatic/aquatic-udp.access-list")
    tracker.fail("systemctl reload aquatic-udp.service")
    assert process() == before, "the tracker was restarted"
    tracker.succeed("systemctl is-active aquatic-udp.service")
  '';
}
