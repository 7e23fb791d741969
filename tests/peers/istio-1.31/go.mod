// Pins where tests/peers/get takes Istio's CRDs from; nothing of meshpipe is Go.
module meshpipe/tests/peers/istio-1.31

go 1.24.0

require istio.io/api v1.31.1
