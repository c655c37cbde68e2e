-- Announces for wrk: 50 peers in each of 1,000 swarms, the same as in benches/announces.rs. With the
-- argument `close` each announce gets a separate connection.

local swarms, peers = 1000, 50
local number = 0
local threads = 0

function setup(thread)
   thread:set("first", threads * 7919)
   threads = threads + 1
end

function init(arguments)
   number = first
   if arguments[1] == "close" then
      wrk.headers["Connection"] = "close"
   end
end

function request()
   number = number + 1
   local swarm, peer = number % swarms, math.floor(number / swarms) % peers
   return wrk.format("GET", string.format(
      "/announce?info_hash=%%00%%00%%%02X%%%02X%s&peer_id=%%00%%00%%00%%%02Xpppppppppppppppp&port=%d&uploaded=%d&downloaded=0&left=1&compact=1",
      math.floor(swarm / 256), swarm % 256, string.rep("%01", 16), peer, 1000 + peer, number))
end
