{
  services.aquatic = {
    enable = true;
    http = {
      enable = true;
      settings.cluster.local = false;
    };
  };
}
