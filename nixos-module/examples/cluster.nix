{
  services.aquatic = {
    enable = true;
    http.enable = true;
    cluster = {
      url = "redis://192.0.2.7";
      passwordFile = "/run/secrets/aquatic-engine";
    };
  };
}
