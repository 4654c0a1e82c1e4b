@0xa2b6c3dd7e51f2a1;
# PushReply as versions before and after this one might have it.

enum Directive {
  fullReport @0;
  drain @1;
  collect @2;
  selfDestruct @3;
}

struct PushReply {
  serverTimeMs @0 :UInt64;
  intervalMs @1 :UInt32 = 10000;
  directives @2 :List(Directive);
  note @3 :Text;
  urgency @4 :UInt64;
}

struct PastPushReply {
  serverTimeMs @0 :UInt64;
}
