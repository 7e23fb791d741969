#!/usr/bin/env bats
# consul-watch: TLS, and tokens and certificates from files that rotate while it runs.
# shellcheck disable=SC2016,SC2154 # eval expands; bats sets stderr

load ../lib
load ../peers/fake-consul

setup() {
	common_setup
	unset CONSUL_HTTP_AUTH CONSUL_HTTP_SSL_VERIFY CONSUL_CAPATH CONSUL_CLIENT_CERT \
		CONSUL_CLIENT_KEY CONSUL_TLS_SERVER_NAME CONSUL_PARTITION MESHPIPE_LOG_LEVEL \
		MESHPIPE_LOG_FORMAT
}

teardown() {
	[ ! -e "$T/consul" ] || "$REPO/tests/peers/consul" kill "$T/consul"
	common_teardown
}

once() {
	run --separate-stderr timeout 20 "$@"
}

# --- the token

@test "a token file that changes is read without a signal; half of one is not taken" {
	fake_start
	fake_service web '[{}]'
	mkdir "$T/one" "$T/two" "$T/three"
	printf 'old-token' >"$T/one/token"
	printf 'new-token\n' >"$T/two/token"
	printf 'third-token' >"$T/three/token"
	# As Kubernetes does it: the link is replaced, the file in use stays as it is.
	ln -s one "$T/data"
	ln -s data/token "$T/token"
	watch --wait 1s --token-file "$T/token"
	wait_for 5 synced
	assert_equal "$(header X-Consul-Token)" old-token
	ln -s two "$T/data.new"
	mv -T "$T/data.new" "$T/data"
	wait_for 5 last_header_is X-Consul-Token new-token

	: >"$T/two/token"
	wait_for 5 warned 'keeping the old token.* is empty now'
	rm "$T/two/token"
	stays 3 last_header_is X-Consul-Token new-token
	assert_equal "$(grep -c 'keeping the old token' "$T/watch.err")" 1
	ln -s three "$T/data.new"
	mv -T "$T/data.new" "$T/data"
	wait_for 5 last_header_is X-Consul-Token third-token
	# And what goes wrong after that is said anew.
	printf 'two words' >"$T/three/token"
	wait_for 5 lines_are "$T/watch.err" 'keeping the old token' 2
	refute_match "$(cat "$T/watch.err" "$T/watch.out")" 'old-token|new-token|third-token|two words'
}

# --- certificates

# A certificate for $1 (subjectAltName), its key and itself as CA, in $T/cert and $T/key.
make_certificate() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=consul -addext "subjectAltName=$1" \
		-keyout "$T/key" -out "$T/cert" 2>/dev/null
}

@test "https with a CA file; an unknown certificate is refused" {
	make_certificate IP:127.0.0.1
	fake_start --tls "$T/cert" "$T/key"
	once env CONSUL_CACERT="$T/cert" consul-watch --once
	assert_status 0
	assert_match "$output" synced

	once consul-watch --once
	assert_status 69
	assert_equal "$output" ""
	assert_match "$stderr" "https://127.0.0.1:.*certificate"

	once env CONSUL_HTTP_SSL_VERIFY=false consul-watch --once
	assert_status 0
	once env CONSUL_HTTP_SSL=1 consul-watch --once --ca-file "$T/cert" --http-addr "${CONSUL_HTTP_ADDR#https://}"
	assert_status 0
}

@test "--tls-server-name is the name that the certificate must have" {
	make_certificate DNS:server.dc1.consul
	fake_start --tls "$T/cert" "$T/key"
	once consul-watch --once --ca-file "$T/cert"
	assert_status 69
	once consul-watch --once --ca-file "$T/cert" --tls-server-name server.dc1.consul
	assert_status 0
	assert_match "$output" synced
	once consul-watch --once --ca-file "$T/cert" --tls-server-name server.dc2.consul
	assert_status 69
}

# ca NAME; signed CA NAME SUBJECTALTNAME: $T/NAME.pem and $T/NAME.key.
ca() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$T/$1.key" -out "$T/$1.pem" 2>/dev/null
}

signed() {
	openssl req -new -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$T/$2.key" -out "$T/$2.csr" 2>/dev/null
	openssl x509 -req -days 2 -in "$T/$2.csr" -CA "$T/$1.pem" -CAkey "$T/$1.key" -CAcreateserial \
		-extfile <(echo "subjectAltName=$3") -out "$T/$2.pem" 2>/dev/null
}

# A real server that asks for a client certificate, at $HTTPS; MORE is part of its configuration.
consul_with_tls() { # VERSION [MORE]
	local port
	ca ca
	signed ca server IP:127.0.0.1,DNS:server.dc1.consul
	port=$(bash -c "source '$REPO/tests/peers/process.bash'; free_ports 1")
	port=${port// /}
	cat >"$T/tls.json" <<-END
		{"ports": {"https": $port}, "ca_file": "$T/ca.pem", "cert_file": "$T/server.pem",
		 "key_file": "$T/server.key", "verify_incoming_https": true${2-}}
	END
	consul_start "$1" -- "-config-file=$T/tls.json"
	PLAIN=$CONSUL_HTTP_ADDR HTTPS=https://127.0.0.1:$port
	export CONSUL_HTTP_ADDR=$HTTPS CONSUL_CACERT=$T/ca.pem no_proxy='*'
}

register() { # PORT
	curl -sSf -X PUT -d "{\"Name\": \"web\", \"Port\": $1}" "$PLAIN/v1/agent/service/register"
}

put() { # FILE NAME: replaces $T/NAME by a copy of $T/FILE
	cp "$T/$1" "$T/$2.new"
	mv "$T/$2.new" "$T/$2"
}

rotates_its_certificate() { # VERSION
	need_consul "$1"
	consul_with_tls "$1"
	signed ca good IP:127.0.0.1
	signed ca next IP:127.0.0.1
	ca strange-ca
	signed strange-ca strange IP:127.0.0.1
	put good.pem me.pem
	put good.key me.key
	register 1
	watch --wait 1s --client-cert "$T/me.pem" --client-key "$T/me.key"
	wait_for 10 ports_are web '[1]'

	# Half of a rotation is no harm, and is said once.
	put next.pem me.pem
	wait_for 10 warned 'keeping the old certificates.*me.pem.*me.key.*does not belong'
	register 2
	wait_for 10 ports_are web '[2]'
	rm "$T/me.key"
	stays 2 eval 'true'
	assert_equal "$(grep -c 'keeping the old certificates' "$T/watch.err")" 1
	put next.key me.key
	wait_for 10 has_line "$T/watch.err" 'the certificates were read anew'
	register 3
	wait_for 10 ports_are web '[3]'

	# It is really the new one that is shown: one that the server does not know is refused.
	mark
	put strange.key me.key
	put strange.pem me.pem
	wait_for 20 logged 'cannot reach consul'
	put good.key me.key
	put good.pem me.pem
	wait_for 20 logged 'msg=connected'
	register 4
	wait_for 10 ports_are web '[4]'
	nothing_lost
	refute_match "$(cat "$T/watch.err")" 'PRIVATE'
}

@test "a client certificate that rotates, for a server that asks for one: 1.8.7" {
	rotates_its_certificate 1.8.7
}

@test "a client certificate that rotates, for a server that asks for one: 1.20.5" {
	rotates_its_certificate 1.20.5
}

@test "CA certificates that rotate, as a file and as a folder" {
	ca ca
	signed ca server IP:127.0.0.1
	ca strange-ca
	fake_start --tls "$T/server.pem" "$T/server.key"
	fake_service web '[{}]'
	put strange-ca.pem trust.pem
	watch --wait 1s --ca-file "$T/trust.pem"
	wait_for 10 warned 'cannot reach consul.*certificate'
	head -c 300 "$T/ca.pem" >"$T/trust.pem"
	wait_for 10 warned "keeping the old certificates.*trust.pem' holds no certificate"
	put ca.pem trust.pem
	wait_for 20 synced
	kill "$(watch_pid)"
	wait_exit watch

	rm "$T/watch.out" "$T/watch.err"
	mkdir "$T/trust"
	cp "$T/strange-ca.pem" "$T/trust/any-name"
	echo 'not a certificate' >"$T/trust/README"
	watch --wait 1s --ca-path "$T/trust"
	wait_for 10 warned 'cannot reach consul.*certificate'
	cp "$T/ca.pem" "$T/trust/another"
	wait_for 20 synced
	assert_equal "$(grep -c 'keeping the old' "$T/watch.err")" 0
}

@test "certificates that are none, or do not go together, are status 78" {
	local words expected
	ca one
	ca two
	echo nothing >"$T/junk"
	mkdir "$T/empty"
	while IFS='|' read -r words expected; do
		eval "once consul-watch --once $words"
		echo "# consul-watch $words: $stderr"
		assert_status 78
		assert_equal "$output" ""
		assert_one_line "$stderr"
		assert_match "$stderr" "$expected"
	done <<-'END'
		--ca-file $T/junk|CA file '.*/junk' holds no certificate in PEM
		--ca-path $T/empty|CA directory '.*/empty' holds no certificate in PEM
		--client-cert $T/one.pem --client-key $T/two.key|'.*one.pem', '.*two.key': the client key does not belong
		--client-cert $T/junk --client-key $T/two.key|client certificate is not a certificate in PEM
		--client-cert $T/one.pem|'.*one.pem': the client key is not a key in PEM
		--client-key $T/one.key|client key '.*one.key' comes without a client certificate
	END
}

@test "CONSUL_HTTP_SSL holds for a Unix socket too: a real server's" {
	need_consul 1.20.5
	consul_with_tls 1.20.5 ", \"addresses\": {\"https\": \"unix://$T/s\"}"
	signed ca good IP:127.0.0.1
	export CONSUL_CLIENT_CERT=$T/good.pem CONSUL_CLIENT_KEY=$T/good.key
	register 1
	once env CONSUL_HTTP_ADDR="unix://$T/s" CONSUL_HTTP_SSL=true consul-watch --once
	assert_status 0
	assert_match "$output" '"service":"web"'
	once env CONSUL_HTTP_ADDR="unix://$T/s" CONSUL_HTTP_SSL=true consul-watch --once \
		--tls-server-name server.dc1.consul
	assert_status 0
	once env CONSUL_HTTP_ADDR="unix://$T/s" CONSUL_HTTP_SSL=true consul-watch --once \
		--tls-server-name elsewhere
	assert_status 69
}
