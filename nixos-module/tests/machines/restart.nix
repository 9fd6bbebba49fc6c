# Nothing is lost when the tracker restarts under load: neither what is sent to it
# meanwhile, nor the peers it knows.
{ module, aquatic-load-test }:
{
  name = "aquatic-restart";

  nodes = {
    tracker =
      { pkgs, ... }:
      {
        imports = [ module ];
        services.aquatic = {
          enable = true;
          udp = {
            openFirewall = true;
            settings.metrics.address = "127.0.0.1:9000";
          };
        };
        environment.systemPackages = [ pkgs.curl ];
        system.switch.enable = true;
        specialisation.other.configuration.services.aquatic.udp.settings.protocol.max_response_peers = 40;
      };
    client =
      { config, ... }:
      let
        # An address has 65535 ports, which are too few for that many peers.
        another = "192.168.1.200";
      in
      {
        environment.systemPackages = [ aquatic-load-test ];
        networking.interfaces.eth1.ipv4.addresses = [
          {
            address = another;
            prefixLength = 24;
          }
        ];
        environment.etc."load-test.toml".text = ''
          duration_seconds = 15

          [network]
          requests_per_second = 5000
          source_addresses = ["${config.networking.primaryIPAddress}", "${another}"]
        '';
      };
  };

  testScript = ''
    import json

    def torrents():
        metrics = tracker.succeed("curl --fail --silent http://127.0.0.1:9000/metrics")
        lines = [line for line in metrics.splitlines() if line.startswith("aquatic_udp_torrents")]
        return sum(float(line.split()[-1]) for line in lines)

    start_all()
    tracker.wait_for_unit("aquatic-udp.service")
    client.wait_for_unit("multi-user.target")
    address = tracker.succeed("ip -4 -o address show eth1 | grep -o '192[0-9.]*' | head -n 1").strip()
    client.succeed(
        "systemd-run --unit=load --property=StandardOutput=file:/tmp/report "
        f"aquatic-udp-load-test -c /etc/load-test.toml --server {address}:3000 --json"
    )
    client.sleep(5)
    known = torrents()
    assert known > 0
    tracker.succeed("systemctl restart aquatic-udp.service")
    tracker.succeed("/run/booted-system/specialisation/other/bin/switch-to-configuration test")
    assert torrents() >= known, "torrents were forgotten"

    client.wait_until_succeeds("test -s /tmp/report")
    report = json.loads(client.succeed("cat /tmp/report"))
    assert report["lost"] == 0, report
  '';
}
