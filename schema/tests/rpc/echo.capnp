@0xd2ee5d1f2b1e4f61;
# What the transport's tests talk.

interface Echo {
  echo @0 (data :Data) -> (data :Data);
  hold @1 (milliseconds :UInt32) -> (held :Bool);
  fail @2 (code :Text) -> ();
  fill @3 (bytes :UInt32) -> (data :Data);
  feed @4 (sink :Sink, count :UInt32) -> (delivered :UInt32);
  missing @5 () -> ();
  thread @6 (value :UInt32) -> (value :UInt32);
}

interface Sink {
  push @0 (value :UInt32) -> ();
}
