"""Cap'n Proto between trio programs; the RPC's words and rights are above, in `schema.rpc.server` and `.client`."""
