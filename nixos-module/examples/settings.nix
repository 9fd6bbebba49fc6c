{
  services.aquatic = {
    enable = true;
    udp = {
      openFirewall = true;
      settings = {
        # The number of CPU cores.
        socket_workers = 4;
        network.address = [
          "203.0.113.7:6969"
          "[2001:db8::7]:6969"
        ];
        limits.max_peers_per_ip = 100;
        metrics.address = "127.0.0.1:9000";
      };
    };
  };
}
