# consul-watch alone, while all that may happen to a catalogue, its server and a token happens at
# random: at rest it has said what Consul says, and on the way nothing was lost. A run that failed
# is repeated with MESHPIPE_CHURN_SEED, a longer one asked for with MESHPIPE_CHURN_SECONDS.
# shellcheck disable=SC2154 # some variables come from pipe.bash
load pipe

setup_file() { need_consul "$consul_version"; }
teardown_file() { :; }

# Each test has a server of its own.
setup() {
	common_setup
	CONSUL_DIR=$T/consul
}

# https_start OPTION...: as consul_start, on https too; sets CONSUL_HTTP_ADDR to that.
https_start() {
	local port
	# shellcheck source=tests/peers/process.bash
	port=$(source "$REPO/tests/peers/process.bash" && free_ports 1)
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=consul -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$T/key" -out "$T/cert" 2>/dev/null
	consul_start "$consul_version" "$@" -- \
		-hcl "ports { https = ${port// /} } cert_file = \"$T/cert\" key_file = \"$T/key\""
	export CONSUL_HTTP_ADDR=https://127.0.0.1:${port// /}
}

# churn_ends_right OPTION...: of consul-watch.
churn_ends_right() {
	local seconds=${MESHPIPE_CHURN_SECONDS:-45}
	run timeout -k 10 $((seconds + 240)) "$PIPELINE/churn" "$CONSUL_DIR" "$T" -- \
		consul-watch --gone-after 2s --token-file "$T/token" "$@"
	[ "$status" -eq 0 ] || {
		tail -n 40 "$T/changes" "$T/err" >&2 || :
		fail "$output"
	}
	echo "# $consul_version: ${output//$'\n'/; }" >&3
}

@test "plain HTTP, more services than connections" {
	consul_start "$consul_version" --acl
	churn_ends_right --max-conns 16
}

@test "https" {
	https_start --acl
	churn_ends_right --ca-file "$T/cert"
}
