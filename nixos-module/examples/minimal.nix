{
  services.aquatic.enable = true;
  services.aquatic.udp.openFirewall = true;
}
