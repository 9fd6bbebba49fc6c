{
  services.aquatic = {
    enable = true;
    http.enable = true;
    cluster = {
      engine.enable = true;
      passwordFile = "/run/secrets/aquatic-engine";
    };
  };

  services.redis.servers.aquatic = {
    bind = "127.0.0.1 192.0.2.7";
    port = 6379;
    openFirewall = true;
    requirePassFile = "/run/secrets/aquatic-engine";
  };
}
