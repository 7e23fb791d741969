# Speaks to a Kubernetes API server that tests/peers/kube started in the folder DIR, and makes
# users of it. To be sourced; needs curl, jq and openssl. Every function fails when the server
# refuses.
# shellcheck shell=bash

# kube_api DIR METHOD PATH [CURL ARGUMENT...]: prints the answer; status 22 for an HTTP error,
# whose answer is printed as well. As the administrator, else as whom KUBE_AS names: one that
# kube_user or kube_token made; nobody if empty. A body is JSON, that of a PATCH one for
# server-side apply, unless a header says otherwise.
kube_api() {
	local dir=$1 method=$2 path=$3 type=application/json
	shift 3
	[ "$method" != PATCH ] || type=application/apply-patch+yaml
	case "${*,,}" in
	*content-type:*) type='' ;;
	esac
	curl -q -sS --fail-with-body -m 60 --cacert "$dir/pki/ca.crt" \
		-K <(kube_credentials "$dir" "${KUBE_AS-admin}") \
		${type:+-H "Content-Type: $type"} -X "$method" "$@" "$(<"$dir/addr")$path"
}

# kube_credentials DIR NAME: prints curl's configuration for that user. (A token is no argument.)
kube_credentials() {
	if [ -e "$1/$2.token" ]; then
		printf 'header = "Authorization: Bearer %s"\n' "$(<"$1/$2.token")"
	elif [ -n "$2" ]; then
		printf '%s = "%s"\n' cert "$1/pki/$2.crt" key "$1/pki/$2.key"
	fi
}

# kube_status DIR METHOD PATH [CURL ARGUMENT...]: prints the answer's HTTP status only.
kube_status() {
	kube_api "$@" -o /dev/null -w '%{http_code}\n' 2>/dev/null || :
}

# kube_apply DIR [NAMESPACE]: server-side apply, by field manager "tests", of the YAML documents
# on standard input; those without a namespace go into NAMESPACE (default mesh). Needs python3-yaml.
kube_apply() {
	local path body
	# Debian's python3, which has Debian's python3-yaml, also where another one comes first.
	env PATH="/usr/bin:$PATH" python3 -c '
import json, sys, yaml
for document in yaml.safe_load_all(sys.stdin):
    if document:
        print(json.dumps(document))' |
		jq -r --arg default "${2:-mesh}" '
			(.kind | ascii_downcase
				| if endswith("y") then .[:-1] + "ies" elif endswith("s") then . + "es" else . + "s" end
			) as $plural
			| (if .kind | test("^(Namespace|Node|PersistentVolume|Cluster.*|CustomResourceDefinition)$")
				then "" else "/namespaces/\(.metadata.namespace // $default)" end) as $in
			| (if .apiVersion | contains("/") then "/apis/" else "/api/" end) as $root
			| "\($root)\(.apiVersion)\($in)/\($plural)/\(.metadata.name)", tojson' |
		while IFS= read -r path && IFS= read -r body; do
			kube_api "$1" PATCH "$path?fieldManager=tests&force=true" -d @- <<<"$body" >/dev/null ||
				return
		done
}

# kube_certificate DIR NAME EXTENSIONS SUBJECT openssl-ca's option...: a key and a certificate of
# the server's own authority, DIR/pki/NAME.key and .crt.
kube_certificate() {
	local pki=$1/pki name=$2
	{
		openssl req -new -config "$pki/ca.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
			-keyout "$pki/$name.key" -subj "$4" -out "$pki/$name.csr" &&
			openssl ca -config "$pki/ca.cnf" -batch -notext -extensions "$3" "${@:5}" \
				-in "$pki/$name.csr" -out "$pki/$name.crt"
	} </dev/null >"$pki/$name.log" 2>&1 || {
		cat "$pki/$name.log" >&2
		return 1
	}
}

# kube_config DIR NAME [NAMESPACE] <<<USER: writes DIR/NAME.kubeconfig; on standard input is what
# its user is (a YAML flow mapping).
kube_config() {
	local user
	user=$(cat)
	cat >"$1/$2.kubeconfig" <<-END
		apiVersion: v1
		kind: Config
		current-context: tests
		contexts:
		- name: tests
		  context: {cluster: tests, user: $2, namespace: ${3:-default}}
		clusters:
		- name: tests
		  cluster:
		    server: $(<"$1/addr")
		    certificate-authority-data: $(base64 -w 0 "$1/pki/ca.crt")
		users:
		- name: $2
		  user: $user
	END
}

# kube_user DIR NAME [--days N | --expired] [--group GROUP]: a user by client certificate, who may
# nothing yet; in DIR/NAME.kubeconfig, with DIR/pki/NAME.crt and .key. Again: a new certificate.
kube_user() {
	local dir=$1 name=$2 validity=(-days 30) group=''
	shift 2
	while [ $# -gt 0 ]; do
		case $1 in
		--expired) validity=(-startdate 20200101000000Z -enddate 20200102000000Z) ;;
		--days) validity=(-days "$2") && shift ;;
		--group) group=/O=$2 && shift ;;
		*)
			echo "kube_user: unknown option: '$1'" >&2
			return 64
			;;
		esac
		shift
	done
	kube_certificate "$dir" "$name" client "$group/CN=$name" "${validity[@]}" &&
		kube_config "$dir" "$name" <<<"{client-certificate: '$dir/pki/$name.crt', client-key: '$dir/pki/$name.key'}"
}

# kube_token DIR NAME [SECONDS]: the service account NAME in the namespace mesh, made if needed,
# and a new token for it that is good for so long (default 3600, at least 600); in
# DIR/NAME.kubeconfig, with DIR/NAME.token, which is replaced in one step.
kube_token() {
	local accounts=/api/v1/namespaces/mesh/serviceaccounts
	kube_api "$1" PATCH "$accounts/$2?fieldManager=tests" -d '{"apiVersion": "v1",
		"kind": "ServiceAccount", "metadata": {"name": "'"$2"'"}}' >/dev/null &&
		kube_api "$1" POST "$accounts/$2/token" -d '{"apiVersion": "authentication.k8s.io/v1",
			"kind": "TokenRequest", "spec": {"expirationSeconds": '"${3:-3600}"'}}' |
		jq -er .status.token >"$1/$2.token.new" &&
		mv "$1/$2.token.new" "$1/$2.token" &&
		kube_config "$1" "$2" mesh <<<"{tokenFile: '$1/$2.token'}"
}

# kube_grant DIR SUBJECT NAMESPACE VERB,... RESOURCE[.GROUP],...: gives that right in NAMESPACE
# (everywhere and for what is in no namespace: *) and waits until it is there. SUBJECT is
# user:NAME, group:NAME or serviceaccount:NAME (in the namespace mesh).
kube_grant() {
	local name scope=$3 kind=Role in=/namespaces/$3 rbac=/apis/rbac.authorization.k8s.io/v1
	local subject rule
	[ "$scope" != '*' ] || kind=ClusterRole in=''
	name=$(kube_subject_label "$2")-$(cksum <<<"$*" | cut -d' ' -f1)
	subject=$(jq -nc --arg subject "$2" '($subject | capture("^(?<kind>[^:]*):(?<name>.*)$"))
		| if .kind == "serviceaccount" then {kind: "ServiceAccount", name, namespace: "mesh"}
		  else {kind: {user: "User", group: "Group"}[.kind], name,
			apiGroup: "rbac.authorization.k8s.io"} end')
	rule=$(jq -nc --arg verbs "$4" --arg resources "$5" '[$resources | split(",")[] | split(".")
		| {apiGroups: [.[1:] | join(".")], resources: .[:1], verbs: ($verbs | split(","))}]')
	kube_rbac "$1" "$rbac$in/${kind,,}s/$name" "$kind" "$2" '{"rules": '"$rule"'}' &&
		kube_rbac "$1" "$rbac$in/${kind,,}bindings/$name" "${kind}Binding" "$2" '{"subjects": ['"$subject"'],
			"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "'"$kind"'", "name": "'"$name"'"}}' &&
		kube_wait_access true "$@"
}

# kube_revoke DIR SUBJECT NAMESPACE: takes back all that kube_grant gave there, and waits until it is gone.
kube_revoke() {
	local each resource in=/namespaces/$3 kind=role given=() rules verb
	[ "$3" != '*' ] || kind=clusterrole in=''
	local path="/apis/rbac.authorization.k8s.io/v1$in/${kind}" selector
	selector=labelSelector=tests%3D$(kube_subject_label "$2")
	rules=$(kube_api "$1" GET "${path}s?$selector") || return
	mapfile -t given < <(jq -r '.items[].rules[] | .verbs[0] + " " + ([.resources[0], .apiGroups[0]]
		| map(select(. != "")) | join("."))' <<<"$rules")
	kube_api "$1" DELETE "${path}bindings?$selector" >/dev/null &&
		kube_api "$1" DELETE "${path}s?$selector" >/dev/null || return
	for each in "${given[@]}"; do
		read -r verb resource <<<"$each"
		kube_wait_access false "$1" "$2" "$3" "$verb" "$resource" || return
	done
}

kube_subject_label() { tr -c 'a-z0-9\n' - <<<"${1,,}"; }

# kube_rbac DIR PATH KIND SUBJECT JSON: applies a labelled object of that kind.
kube_rbac() {
	jq -nc --arg kind "$3" --arg name "${2##*/}" --arg subject "$(kube_subject_label "$4")" '{
		apiVersion: "rbac.authorization.k8s.io/v1", $kind, metadata: {$name, labels: {tests: $subject}}}
		+ $ARGS.positional[0]' --jsonargs "$5" |
		kube_api "$1" PATCH "$2?fieldManager=tests&force=true" -d @- >/dev/null
}

# kube_wait_access ALLOWED DIR SUBJECT NAMESPACE VERBS RESOURCES: the server's authorizer follows
# changes of roles with a delay; waits until it answers true or false for the last of these.
kube_wait_access() {
	local review
	review=$(jq -nc --arg subject "$3" --arg namespace "$4" --arg verbs "$5" --arg resources "$6" '
		($subject | capture("^(?<kind>[^:]*):(?<name>.*)$")) as $who
		| ($resources | split(",")[-1] | split(".")) as $what
		| {apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec: ({
			resourceAttributes: {verb: ($verbs | split(",")[-1]), resource: $what[0],
				group: ($what[1:] | join(".")),
				namespace: (if $namespace == "*" then "" else $namespace end)}}
			+ {user: {user: $who.name}, group: {groups: [$who.name]},
			   serviceaccount: {user: "system:serviceaccount:mesh:\($who.name)"}}[$who.kind])}')
	for _ in {1..200}; do
		[ "$(kube_api "$2" POST /apis/authorization.k8s.io/v1/subjectaccessreviews -d "$review" |
			jq .status.allowed)" != "$1" ] || return 0
		sleep 0.02
	done
	echo "the API server's authorizer does not say $1 for $3 $5 $6" >&2
	return 1
}

# kube_counters DIR: what the server has been asked for, by kind of request and resource, for what
# meshpipe writes: lines "VERB RESOURCE COUNT", sorted, none for what never was. The difference of
# two calls shows what happened between; reading them counts nothing in them. VERB is the server's
# word: APPLY is a PATCH that applies, LIST and WATCH are GETs; a WATCH counts when it ends.
kube_counters() {
	kube_api "$1" GET /metrics | awk '
		function label(name) {
			return match($0, "[{,]" name "=\"[^\"]*\"") ? \
				substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : ""
		}
		!/^apiserver_request_total\{/ { next }
		{ resource = label("resource"); group = label("group") }
		group == "networking.istio.io" || (group == "" && resource == "configmaps") ||
		(group == "coordination.k8s.io" && resource == "leases") {
			count[label("verb") " " resource] += $NF
		}
		END { for (key in count) print key, count[key] }' | sort
}
