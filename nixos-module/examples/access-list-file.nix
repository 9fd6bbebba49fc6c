{
  services.aquatic = {
    enable = true;
    udp.accessList = {
      mode = "deny";
      file = "/var/lib/moderation/denied";
    };
  };
}
