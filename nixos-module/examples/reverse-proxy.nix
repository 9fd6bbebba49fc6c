{
  services.aquatic = {
    enable = true;
    http = {
      enable = true;
      settings.network = {
        address = "127.0.0.1:3000";
        runs_behind_reverse_proxy = true;
        reverse_proxy_ip_header_name = "X-Forwarded-For";
        trusted_proxies = [ "127.0.0.1" ];
      };
    };
  };

  services.nginx = {
    enable = true;
    recommendedProxySettings = true;
    virtualHosts."tracker.example.org".locations."/".proxyPass = "http://127.0.0.1:3000";
  };
}
