# A file goes from one client to another, which know of each other by the tracker
# only, also when one of them uses it over UDP and the other over HTTP.
{ module, ... }:
let
  client =
    { pkgs, ... }:
    {
      environment.systemPackages = [
        pkgs.aria2
        pkgs.transmission_4
      ];
      networking.firewall.enable = false;
    };
in
{
  name = "aquatic-transfer";

  nodes = {
    tracker = {
      imports = [ module ];
      services.aquatic = {
        enable = true;
        udp.openFirewall = true;
        http = {
          enable = true;
          openFirewall = true;
        };
      };
    };
    seeder = client;
    leecher = client;
  };

  testScript = ''
    def download(url, other_url=None):
        name = url.split(":")[0] + ("-to-other" if other_url else "")
        seeder.succeed(f"mkdir -p /tmp/{name}-seed && head -c 4M /dev/urandom > /tmp/{name}-seed/file")
        seeder.succeed(f"transmission-create --private -t {url} -o /tmp/{name}.torrent /tmp/{name}-seed/file")
        torrent = seeder.succeed(f"base64 -w 0 /tmp/{name}.torrent")
        leecher.succeed(f"mkdir /tmp/{name}-leech && echo {torrent} | base64 -d > /tmp/{name}.torrent")
        if other_url:
            leecher.succeed(f"transmission-edit --replace {url} {other_url} /tmp/{name}.torrent")
        # aria2 speaks to UDP trackers only where DHT is on; it knows no node of it.
        aria2 = "aria2c --enable-dht=true --bt-enable-lpd=false --enable-peer-exchange=false"
        seeder.succeed(
            f"systemd-run --unit={name} -E HOME=/tmp {aria2} --check-integrity=true --seed-ratio=0.0 "
            f"--dir=/tmp/{name}-seed /tmp/{name}.torrent"
        )
        leecher.succeed(
            f"HOME=/tmp timeout 300 {aria2} --seed-time=0 --dir=/tmp/{name}-leech /tmp/{name}.torrent >&2"
        )
        wanted = seeder.succeed(f"sha256sum < /tmp/{name}-seed/file")
        assert leecher.succeed(f"sha256sum < /tmp/{name}-leech/file") == wanted
        seeder.succeed(f"systemctl stop {name}")

    start_all()
    tracker.wait_for_unit("aquatic-udp.service")
    tracker.wait_for_unit("aquatic-http.service")
    seeder.wait_for_unit("multi-user.target")
    leecher.wait_for_unit("multi-user.target")

    download("udp://tracker:3000/announce")
    download("http://tracker:3000/announce")
    download("udp://tracker:3000/announce", "http://tracker:3000/announce")
    download("http://tracker:3000/announce", "udp://tracker:3000/announce")
  '';
}
