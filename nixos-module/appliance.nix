# A whole host that is nothing but a tracker: every daemon, certificates, firewall,
# kernel buffers, and metrics on loopback addresses. Copy it, and put in
# your own names, disks and mail address.
_:
let
  host = "tracker.example.org";
  onEveryAddress = port: [
    "0.0.0.0:${toString port}"
    "[::]:${toString port}"
  ];
in
{
  services.aquatic = {
    enable = true;

    # udp://tracker.example.org:6969
    udp = {
      openFirewall = true;
      settings = {
        socket_workers = 4;
        network.address = onEveryAddress 6969;
        metrics.address = "127.0.0.1:9001";
      };
    };

    # https://tracker.example.org/announce
    http = {
      enable = true;
      openFirewall = true;
      useACMEHost = host;
      settings = {
        socket_workers = 2;
        network.address = onEveryAddress 443;
        limits.max_peers_per_ip = 1000;
        metrics.address = "127.0.0.1:9002";
      };
    };

    # wss://tracker.example.org:8443, for browsers
    ws = {
      enable = true;
      openFirewall = true;
      useACMEHost = host;
      settings = {
        socket_workers = 2;
        network.address = onEveryAddress 8443;
        metrics.address = "127.0.0.1:9003";
      };
    };
  };

  # The authority asks on port 80 whether the name is ours.
  security.acme = {
    acceptTerms = true;
    defaults.email = "operator@example.org";
    certs.${host}.listenHTTP = ":80";
  };

  networking = {
    hostName = "tracker";
    # The ports of the trackers are opened by openFirewall.
    firewall = {
      enable = true;
      allowedTCPPorts = [ 80 ];
    };
  };

  boot.kernel.sysctl = {
    # Datagrams that wait for the network card's interrupt to be served.
    "net.core.netdev_max_backlog" = 16384;
    # Connections that wait to be accepted; network.tcp_backlog asks for them.
    "net.core.somaxconn" = 4096;
    # Maximum size of a socket's receive buffer, for programs other than systemd,
    # which sets the size for the trackers' sockets.
    "net.core.rmem_max" = 8388608;
  };

  # What depends on the machine.
  boot.loader.grub.device = "/dev/vda";
  fileSystems."/" = {
    device = "/dev/vda1";
    fsType = "ext4";
  };
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "25.11";
}
