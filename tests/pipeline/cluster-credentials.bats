# Who k8s-apply is to the API server: all ways that a kubeconfig and the command line know, and how
# they change while it runs.
# shellcheck disable=SC2030,SC2031,SC2154 # each test has its own environment; some variables come from cluster.bash
load records

setup() {
	records_setup
	user=user-$BATS_TEST_NUMBER
	export MESHPIPE_TIMEOUT=60s
	# A proxy of the machine's has no business here.
	unset HTTPS_PROXY https_proxy ALL_PROXY all_proxy NO_PROXY no_proxy
}

# The user of the service account, with all rights of the manual in $NS, and a token.
account() {
	kube token "$user"
	as_user_of_the_manual "system:serviceaccount:mesh:$user"
}

# A second one with those rights, beside the one of as_user.
also_may() { # NAME
	kube apply "$NS" <<-END
		apiVersion: rbac.authorization.k8s.io/v1
		kind: RoleBinding
		metadata: {name: also}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: meshpipe}
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: $1}]
	END
	kube_wait_access true "$KUBE_DIR" "user:$1" "$NS" update leases.coordination.k8s.io
}

# A kubeconfig whose user is this mapping; the cluster has these further fields.
use_config() { # USER [CLUSTER-FIELD]
	kube_config "$KUBE_DIR" "$user" <<<"$1"
	export KUBECONFIG=$T/config
	sed "s|^    server: .*|&${2:+\n    $2}|" "$KUBE_DIR/$user.kubeconfig" >"$KUBECONFIG"
}

# The plugin says what is in $T/plugin.answer, or does what $T/plugin.does says instead.
use_plugin() { # [FIELD: VALUE, ...]
	cat >"$T/plugin" <<-'END'
		#!/bin/sh
		echo run >>"$0.ran"
		[ ! -e "$0.does" ] || . "$0.does"
		exec cat "$0.answer"
	END
	chmod +x "$T/plugin"
	use_config "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin,
		interactiveMode: IfAvailable${1:+, $1}}}"
}

# Written whole, as the plugin may run at any time.
answer() { # JQ-OBJECT [--rawfile NAME FILE...]
	jq -n "${@:2}" '{apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: '"$1"'}' \
		>"$T/plugin.answer.new" && mv "$T/plugin.answer.new" "$T/plugin.answer"
}

answer_token() {
	# shellcheck disable=SC2016 # jq's
	answer '{token: $token | rtrimstr("\n")}' --rawfile token "$KUBE_DIR/$user.token"
}

answer_certificate() { # NAME [WHEN-IT-ENDS]
	# shellcheck disable=SC2016 # jq's
	answer '{clientCertificateData: $cert, clientKeyData: $key, expirationTimestamp: $until}' \
		--rawfile cert "$KUBE_DIR/pki/$1.crt" --rawfile key "$KUBE_DIR/pki/$1.key" \
		--arg until "$(date -u -d "${2:-1 hour}" +%Y-%m-%dT%H:%M:%SZ)"
}

runs_are() { # COUNT
	[ "$(grep -c . "$T/plugin.ran")" -eq "$1" ]
}

unwell() {
	grep -E 'level=(warn|error)' "$T/k8s-apply.err"
}

@test "an exec plugin says the token: run once, and its requests wait for it" {
	account
	use_plugin
	echo 'sleep 2' >"$T/plugin.does"
	answer_token
	apply < <(snapshot 30)
	assert_status 0
	count_is 30
	refute_match "$stderr" 'level=(warn|error)'
	runs_are 1
}

@test "an exec plugin says a certificate: it is run again before that expires, whether it fails is said, and the next one is used" {
	local first=$user-first
	kube user "$first"
	kube user "$user"
	as_user_of_the_manual "$first"
	also_may "$user"
	use_plugin
	answer_certificate "$first" '60 seconds'
	go_on
	{ begin && many 1 3; } >&"$in"
	wait_for 30 count_is 3
	echo 'echo gone fishing >&2; exit 3' >"$T/plugin.does"
	wait_for 90 said 'level=warn msg="the exec plugin fails; .* status 3: gone fishing'
	echo : >"$T/plugin.does"
	answer_certificate "$user"
	wait_for 60 said 'certificates read anew'
	# Now only the other one may write.
	as_user_of_the_manual "$user"
	kube_wait_access false "$KUBE_DIR" "user:$first" "$NS" patch workloadentries.networking.istio.io
	{ many 4 4 && synced 4; } >&"$in"
	wait_for 30 count_is 4
	[ "$(grep -c . "$T/plugin.ran")" -ge 3 ]
	assert_equal "$(unwell | wc -l)" 1
	end_input 0
}

@test "an exec plugin's token is taken back: the plugin is asked again, and nobody notices" {
	account
	use_plugin
	answer_token
	go_on
	{ begin && many 1 3; } >&"$in"
	wait_for 30 count_is 3
	kube api DELETE "/api/v1/namespaces/mesh/serviceaccounts/$user" >/dev/null
	kube token "$user"
	answer_token
	# The server remembers for ten seconds that the old one was good.
	wait_for 60 runs_are 2
	{ many 4 4 && synced 4; } >&"$in"
	wait_for 30 count_is 4
	assert_equal "$(unwell)" ''
	end_input 0
	runs_are 2
}

# A plugin in $T/NUMBER that does and says this, and three seconds with it, in the background.
start_with_plugin() { # NUMBER DOES ANSWER
	mkdir "$T/$1"
	T=$T/$1 use_plugin 'installHint: Get it there.'
	echo "$2" >"$T/$1/plugin.does"
	echo "$3" >"$T/$1/plugin.answer"
	spawn "$1/apply" timeout -k 5 60 k8s-apply -n "$NS" --timeout 3s
}

@test "scenario 26: an exec plugin that fails or talks nonsense: one clear line, and tried again with pauses" {
	local n=0 messages=() pids=()
	account
	while IFS='|' read -r does answer message; do
		start_with_plugin "$((++n))" "$does" "$answer"
		messages[n]=$message
		pids[n]=$(<"$T/$n/apply.pid")
	done <<-'END'
		echo s3cret; echo no login >&2; exit 1||it ended with status 1: no login
		kill -TERM $$||it was killed by signal 15
		:|s3cret|its output is no JSON object
		:|{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1beta1", "status": {"token": "s3cret"}}|its output is of the apiVersion .*v1beta1
		exit 0||its output is empty
	END
	for ((; n > 0; n--)); do
		status=0
		wait "${pids[n]}" || status=$?
		stderr=$(<"$T/$n/apply.err")
		assert_status 69 || fail "${messages[n]}"
		assert_match "$stderr" "level=error .*user '$user' of '$T/$n/config': 'exec': '$T/$n/./plugin': ${messages[n]}"
		assert_equal "$(grep -c level=warn <<<"$stderr")" 1 || fail "$stderr"
		refute_match "$stderr" 's3cret'
		# Pauses of at least half a second and a second.
		[ "$(grep -c . "$T/$n/plugin.ran")" -le 5 ] || fail "run $(grep -c . "$T/$n/plugin.ran") times"
	done

	# One that is not there cannot get better by itself.
	use_plugin 'installHint: Get it there.'
	mv "$T/plugin" "$T/away"
	apply < <(snapshot 1)
	assert_status 78
	assert_complaint "'exec': '$T/./plugin': cannot be run: No such file or directory; Get it there\."
	mv "$T/away" "$T/plugin"

	# It gets well: all that has waited goes on.
	echo 'echo no login >&2; exit 1' >"$T/plugin.does"
	go_on
	snapshot 3 >&"$in"
	wait_for 30 said 'level=warn .*no login'
	answer_token
	rm "$T/plugin.does"
	wait_for 60 count_is 3
	end_input 0
}

@test "scenario 25: a token file that is empty, half written, then new, while the old token is revoked" {
	account
	use_config "{tokenFile: '$T/token'}"
	cp "$KUBE_DIR/$user.token" "$T/token"
	go_on
	{ begin && many 1 3; } >&"$in"
	wait_for 30 count_is 3
	: >"$T/token"
	kube api DELETE "/api/v1/namespaces/mesh/serviceaccounts/$user" >/dev/null
	wait_for 60 said 'level=warn .*401'
	kube token "$user"
	cut -c 1-300 "$KUBE_DIR/$user.token" >"$T/token"
	{ many 4 4 && synced 4; } >&"$in"
	stays 3 count_is 3
	cp "$KUBE_DIR/$user.token" "$T/token"
	wait_for 60 count_is 4
	kill -0 "$(<"$T/k8s-apply.pid")"
	refute_match "$(<"$T/k8s-apply.err")" "$(cut -c 1-40 "$T/token")"
	end_input 0
}

@test "as somebody else: by the kubeconfig and by the command line" {
	as_user_of_the_manual "$user"
	export KUBECONFIG=$KUBE_DIR/kubeconfig
	apply --as "$user" < <(snapshot 2)
	assert_status 0
	apply --as "nobody-$user" --as-uid 7 --as-group some --as-user-extra example.org/a=b < <(snapshot 2)
	assert_status 77
	assert_complaint "User .\"nobody-$user.\" cannot"
	apply --as "nobody-$user" --as-group other --as-group system:masters < <(snapshot 3)
	assert_status 0
	kube_config "$KUBE_DIR" "$user" <<-END
		{client-certificate: '$KUBE_DIR/pki/admin.crt', client-key: '$KUBE_DIR/pki/admin.key', as: nobody-$user}
	END
	export KUBECONFIG=$KUBE_DIR/$user.kubeconfig
	apply < <(snapshot 3)
	assert_status 77
	assert_complaint "User .\"nobody-$user.\" cannot"
	# The command line's is another's.
	apply --as "$user" < <(snapshot 4)
	assert_status 0
	count_is 4
}

@test "all by the command line, without a kubeconfig; a secret is no argument" {
	local server pki=$KUBE_DIR/pki
	server=$(<"$KUBE_DIR/addr")
	account
	export KUBECONFIG='' HOME=$T
	apply -s "$server" --certificate-authority "$pki/ca.crt" --token-file "$KUBE_DIR/$user.token" < <(snapshot 2)
	assert_status 0
	cd "$pki"
	apply --server "$server" --certificate-authority ca.crt --client-certificate admin.crt --client-key admin.key \
		--disable-compression --request-timeout 20s < <(snapshot 3)
	assert_status 0
	apply -s "$server" --insecure-skip-tls-verify --token-file "$KUBE_DIR/$user.token" < <(snapshot 4)
	assert_status 0
	apply -s "$server" --timeout 2s --token-file "$KUBE_DIR/$user.token" < <(snapshot 4)
	assert_status 69
	assert_match "$stderr" 'level=error .*certificate'
	count_is 4

	# What the certificate is checked for.
	apply -s "$server" --certificate-authority ca.crt --tls-server-name localhost \
		--token-file "$KUBE_DIR/$user.token" < <(snapshot 5)
	assert_status 0
	apply -s "$server" --certificate-authority ca.crt --tls-server-name other.example --timeout 2s \
		--token-file "$KUBE_DIR/$user.token" < <(snapshot 6)
	assert_status 69
	assert_match "$stderr" "level=error .*other.example"
	count_is 5

	apply --token s3cret < <(snapshot 6)
	assert_status 64
	assert_complaint 'level=error .*--token.*--token-file'
	refute_match "$stderr" s3cret
}

@test "through a proxy of the cluster's own: HTTP, HTTPS with a password, SOCKS5; compression off" {
	local n=0 address
	address=$(<"$KUBE_DIR/addr") && address=${address#https://}
	mkdir "$T/http" "$T/https"
	spawn http-proxy "$REPO/tests/peers/forward-proxy" "$T/http"
	spawn https-proxy "$REPO/tests/peers/forward-proxy" "$T/https" "$KUBE_DIR/pki/server.crt" \
		"$KUBE_DIR/pki/server.key"
	wait_for 20 test -e "$T/http/addr"
	wait_for 20 test -e "$T/https/addr"
	while read -r scheme proxy login expected; do
		n=$((n + 1))
		use_config "{client-certificate: '$KUBE_DIR/pki/admin.crt', client-key: '$KUBE_DIR/pki/admin.key'}" \
			"proxy-url: '$scheme://${login#-}$(<"$T/$proxy/addr")'\n    disable-compression: true"
		NO_PROXY='*' apply < <(snapshot "$n")
		assert_status 0 || fail "$scheme"
		count_is "$n"
		assert_match "$(<"$T/$proxy/log")" "$expected"
	done <<-END
		http http - ^CONNECT $address$
		https https me:word@ ^CONNECT $address Basic $(printf me:word | base64)$
		socks5 http - ^SOCKS5 $address$
	END
	# One of the machine's is not for a server on the machine.
	use_config "{client-certificate: '$KUBE_DIR/pki/admin.crt', client-key: '$KUBE_DIR/pki/admin.key'}"
	HTTPS_PROXY=http://127.0.0.1:1 apply < <(snapshot 5)
	assert_status 0
	# Without the proxy there is no way.
	use_config "{token: x}" "proxy-url: 'http://me:s3cret@127.0.0.1:1'"
	apply --timeout 2s < <(snapshot 9)
	assert_status 69
	assert_match "$stderr" 'level=error .*127.0.0.1 port 1'
	refute_match "$stderr" s3cret
}
