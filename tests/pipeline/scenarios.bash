# What the files of the numbered fault scenarios share: a consul-watch alone, on a real Consul.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # some variables come from bats and from the other files

load pipe
# Here mark, said and warned are about consul-watch alone.
load ../peers/fake-consul

# follow [OPTION...]: a watcher of which everything has been said.
follow() {
	watch --gone-after 0 "$@"
	wait_for 20 synced
	mark
}

web() { register_instance vm-1 10.10.0.11 web "$1" status=passing; }
api() { register_instance vm-2 10.10.0.12 api "$1" status=passing; }

web_is() { wait_for "${2:-10}" ports_are web "[$1]"; }
api_is() { wait_for "${2:-10}" ports_are api "[$1]"; }

warnings_are() { # COUNT
	[ "$(new_log | grep -cE 'level=(warn|error)')" -eq "$1" ] || fail "not $1 warnings:" "$(new_log)"
}

# Services that something was said of since the mark.
said_services() {
	new_records | jq -r '.service // empty' | sort -u | tr '\n' ' '
}

records_of() { # SERVICE, since the mark
	new_records | jq -c --arg name "$1" 'select(.service == $name)' | wc -l
}

lost_state() { # STATE: that was said with a reason since the mark
	wait_for "${2:-15}" said ".type == \"status\" and .state == \"$1\" and (.error | length > 0)"
}

gone_is() { # SERVICE [SECONDS]
	wait_for "${2:-10}" wrote 1 ".type == \"gone\" and .service == \"$1\""
}

# A server of the test's own.
own_consul() { # [OPTION...]
	CONSUL_DIR=$T/consul
	consul_start "$consul_version" "$@"
}

# The same on https too, at $https, with the certificate $T/cert.
https_consul() {
	local port
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=consul -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$T/key" -out "$T/cert" 2>/dev/null
	own_consul -- -hcl "ports { https = $port }" \
		-hcl "ca_file = \"$T/cert\", cert_file = \"$T/cert\", key_file = \"$T/key\""
	https=https://127.0.0.1:$port
}

# Queries that the agent has answered on one kind of path, so far.
answered() { # PATTERN, such as v1_health_service_
	curl -sS -m 5 "$CONSUL_HTTP_ADDR/v1/agent/metrics?format=prometheus" |
		awk -v path="$1" '$0 ~ path && /_count[ {]/ { n += $NF } END { print n + 0 }'
}

snapshot() { curl -sSf -m 20 "$CONSUL_HTTP_ADDR/v1/snapshot" >"$T/snapshot"; }
restore() { curl -sSf -m 20 -X PUT --data-binary "@$T/snapshot" "$CONSUL_HTTP_ADDR/v1/snapshot"; }

answered_in() { # SECONDS PATTERN
	local before
	before=$(answered "$2")
	sleep "$1"
	echo $(($(answered "$2") - before))
}
