# Trackers of two hosts keep one swarm through a server of the first, also after it was
# restarted without its data; a switch that removes it closes their sandbox.
{ module, ... }:
let
  password = "/etc/engine-password";
  tracker =
    { pkgs, ... }:
    {
      imports = [ module ];
      services.aquatic = {
        enable = true;
        http.enable = true;
        cluster.passwordFile = password;
      };
      environment.systemPackages = [ pkgs.curl ];
      environment.etc."engine-password".text = "secret";
      networking.firewall.enable = false;
    };
in
{
  name = "aquatic-hosts";

  nodes = {
    first = {
      imports = [ tracker ];
      services.aquatic.cluster.engine.enable = true;
      services.redis.servers.aquatic = {
        bind = null;
        port = 6379;
        requirePassFile = password;
      };
    };
    second =
      { lib, ... }:
      {
        imports = [ tracker ];
        services.aquatic.cluster.url = lib.mkDefault "redis://first";
        system.switch.enable = true;
        specialisation.alone.configuration.services.aquatic.cluster.url = "";
      };
  };

  testScript = ''
    def status(daemon):
        return f"systemctl show -P StatusText aquatic-{daemon}.service"

    def wait_until_joined():
        for host in [first, second]:
            for daemon in ["udp", "http"]:
                host.wait_until_succeeds(status(daemon) + " | grep 'one swarm with 3 other nodes'")

    def announce(host, name):
        host.succeed(
            "curl --fail --silent --output /dev/null "
            f"'http://127.0.0.1:3000/announce?info_hash={name * 20}&peer_id={'p' * 20}&port=1001&left=0'"
        )

    def wait_until_known(host, name):
        scrape = f"curl --fail --silent 'http://127.0.0.1:3000/scrape?info_hash={name * 20}'"
        host.wait_until_succeeds(f"{scrape} | grep 8:completei1e")

    start_all()
    wait_until_joined()
    announce(first, "a")
    wait_until_known(second, "a")

    first.succeed("systemctl restart redis-aquatic.service")
    wait_until_joined()
    announce(second, "b")
    wait_until_known(first, "b")
    wait_until_known(first, "a")

    alone = "/run/booted-system/specialisation/alone/bin/switch-to-configuration test"
    second.succeed(alone)
    second.wait_until_succeeds(status("udp") + " | grep 'linked with aquatic-http'")
    assert "yes" in second.succeed("systemctl show -P PrivateNetwork aquatic-udp.service")
  '';
}
