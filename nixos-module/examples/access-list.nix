{
  services.aquatic = {
    enable = true;
    udp.accessList = {
      mode = "allow";
      infoHashes = [
        "d69f91e6b2ae4c542468d1073a71d4ea13879a7f"
        "631a31dd0a46257d5078c0dee4e66e26f73e42ac1b1b2b0c6a3e6f0c1a0b9d7e"
      ];
    };
  };
}
