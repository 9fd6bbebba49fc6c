{
  services.aquatic = {
    enable = true;
    udp.enable = false;
    ws = {
      enable = true;
      openFirewall = true;
      useACMEHost = "tracker.example.org";
      settings.network = {
        address = [
          "0.0.0.0:443"
          "[::]:443"
        ];
        allowed_origins = [ "https://example.org" ];
      };
    };
  };

  security.acme = {
    acceptTerms = true;
    defaults.email = "operator@example.org";
    certs."tracker.example.org".listenHTTP = ":80";
  };
  networking.firewall.allowedTCPPorts = [ 80 ];
}
