-- Sends requests that were written to files, one after the other; says what came of it as JSON.
local requests, turn = {}, 0

function init(args)
  for index, name in ipairs(args) do
    local file = assert(io.open(name, "rb"))
    requests[index] = file:read("*a")
    file:close()
  end
  turn = math.random(#requests)
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '@@ {"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, ' ..
    '"statuses": %d, "connects": %d, "reads": %d, "writes": %d, "timeouts": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
