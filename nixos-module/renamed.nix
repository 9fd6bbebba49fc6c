# Names that settings of daemons had, and have no more.
{
  http = [
    {
      section = "network";
      from = "request_timeout";
      to = "message_timeout";
    }
    {
      section = "network";
      from = "reply_timeout";
      to = "write_timeout";
    }
    {
      section = "protocol";
      from = "max_peers";
      to = "max_response_peers";
    }
  ];
}
