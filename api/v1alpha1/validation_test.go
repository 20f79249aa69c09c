// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/foyer-matrix/foyer/config/crd"
)

// refusal is a spec that the API server must refuse when it is created.
type refusal struct {
	name string
	// spec holds the top-level fields, as YAML, that differ from a valid spec.
	spec string
	// want is part of the error's text.
	want string
}

func checkRefusals(t *testing.T, cases []refusal) {
	t.Helper()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			refused(t, tryCreate(t, homeserver(t, "refused", test.spec)), test.want)
		})
	}
}

const (
	serverNameForm   = "serverName must be a host name or IP address in lower case with an optional port, such as campus.example or campus.example:8448; no scheme, no path"
	hostForm         = "host must be a DNS name in lower case, such as matrix.campus.example; no wildcard, no port"
	hostAddress      = "host must be a DNS name, not an IP address"
	imageForm        = "image must be an image reference such as registry.example/foyer:1.2.3, without spaces"
	builtinOnly      = "this version of Foyer runs the Builtin homeserver only; Synapse, Dendrite, Tuwunel and Custom are not available yet"
	classChanged     = "storageClassName cannot be changed: a volume cannot change its class"
	classAppeared    = "storageClassName cannot be added or removed later: a volume cannot change its class"
	oneWriter        = "more than one replica needs a Database (Postgres), which this version cannot reference yet: an embedded SQLite database has one writer"
	rawConfiguration = "annotations that inject raw proxy configuration (snippets, config-*, skipper-routes) are not allowed: they could read the traffic and the credentials of others"
	annotationKeys   = "annotation keys must be of the form name or domain/name"
)

func creationRefusals() map[string][]refusal {
	return map[string][]refusal{
		"K01": {
			{"a server name with a scheme", "serverName: https://campus.example", serverNameForm},
			{"a server name with a path", "serverName: a/b", serverNameForm},
			{"a server name in upper case", "serverName: A.B", serverNameForm},
			{"a server name of 231 characters", "serverName: " + strings.Repeat("a.", 115) + "a", "Too long: may not be more than 230"},
			{"an empty server name", `serverName: ""`, "spec.serverName"},
			{"no server name", "serverName: null", "spec.serverName: Required value"},
			{"a server name with an underscore", "serverName: a_b.example", serverNameForm},
			{"a server name with a line break", `serverName: "a.example\nb"`, serverNameForm},
			{"a server name with an empty port", `serverName: "a.example:"`, serverNameForm},
			{"port 0", "serverName: a.example:0", "the port of serverName must be between 1 and 65535"},
			{"port 65536", "serverName: a.example:65536", "the port of serverName must be between 1 and 65535"},
			{"port 99999 after an IPv6 address", `serverName: "[::1]:99999"`, "the port of serverName must be between 1 and 65535"},
			{"a broken IPv6 address", `serverName: "[1:2:3]"`, "serverName is not a valid IPv6 address in brackets"},
			{"an IPv6 address without brackets", `serverName: "::1"`, serverNameForm},
		},
		"K04": {
			{"two replicas without a database", "replicas: 2", oneWriter},
			{"a negative number of replicas", "replicas: -1", "should be greater than or equal to 1"},
			{"ten thousand replicas", "replicas: 10000", "should be less than or equal to 50"},
		},
		"K06": {
			{"Custom without an image", "implementation: Custom", builtinOnly},
			{"Synapse", "implementation: Synapse", builtinOnly},
			{"an unknown program", "implementation: Other", "Unsupported value"},
			{"an image with a space", "image: a b", imageForm},
			{"an image with a line break", `image: "a\nb"`, imageForm},
			{"an image with a broken digest", "image: a@sha256:12", imageForm},
		},
		"K15": {
			{"a label value of 64 characters", "pod: {labels: {a: " + strings.Repeat("x", 64) + "}}", "Too long: may not be more than 63"},
			{"a label value with a space", "pod: {labels: {a: b c}}", "spec.pod.labels.a"},
			{"a label key that is none", `pod: {labels: {"a b": c}}`, "label keys must be of the form name or domain/name"},
			{"an annotation key that is none", `pod: {annotations: {"a b": c}}`, annotationKeys},
		},
		"K16": {
			{"a configuration snippet of nginx", `ingress: {annotations: {nginx.ingress.kubernetes.io/configuration-snippet: "x;"}}`, rawConfiguration},
			{"a server snippet of nginx", `ingress: {annotations: {nginx.org/server-snippets: "x;"}}`, rawConfiguration},
			{"raw configuration of haproxy", `ingress: {annotations: {haproxy-ingress.github.io/config-backend: "x"}}`, rawConfiguration},
			{"raw routes of skipper", `ingress: {annotations: {zalando.org/skipper-routes: "x"}}`, rawConfiguration},
			{"an annotation with a line break", `ingress: {annotations: {a: "b\nc"}}`, "annotation values must be one line without control characters"},
			{"an annotation key that is none", `ingress: {annotations: {"a b": c}}`, annotationKeys},
		},
		"K18": {
			{"a host with a line break", `host: "a.b\n c"`, hostForm},
			{"a wildcard host", `host: "*"`, hostForm},
			{"a wildcard domain as host", `host: "*.campus.example"`, hostForm},
			{"an IPv4 address as host", "host: 192.0.2.1", hostAddress},
			{"an IPv6 address as host", `host: "[::1]"`, hostForm},
			{"a host with a port", "host: a.example:443", hostForm},
			{"a host in upper case", "host: A.example", hostForm},
			{"no host", "host: null", "spec.host: Required value"},
		},
		"K49": {
			{"an administrator named twice", "admins: [a, a]", "Duplicate value"},
			{"10001 administrators", "admins: [" + numbered(10001) + "]", "must have at most 1000 items"},
			{"an administrator in upper case", "admins: [Bob]", "spec.admins[0]"},
			{"a whole user id as administrator", `admins: ["@bob:campus.example"]`, "spec.admins[0]"},
			{
				"a user id of more than 255 characters",
				"{serverName: " + strings.Repeat("a.", 114) + "a, admins: [" + strings.Repeat("b", 25) + "]}",
				"a user id @admin:serverName must not be longer than 255 characters",
			},
		},
		"K51": {
			{
				"open registration that was not acknowledged", "registration: {mode: Open}",
				"mode Open lets anyone on the network create accounts and send spam from your server: set openAcknowledged to true if that is what you want, or use mode Token",
			},
			{"open registration whose acknowledgement is false", "registration: {mode: Open, openAcknowledged: false}", "set openAcknowledged to true"},
			{"a token without mode Token", "registration: {tokenSecretRef: {name: a, key: b}}", "tokenSecretRef needs mode Token"},
		},
		"K52": {
			{
				"allowed and denied servers", "federation: {allowed: [a.example], denied: [b.example]}",
				"give allowed or denied, not both: with allowed every other server is denied already",
			},
			{"an empty pattern", `federation: {allowed: [""]}`, "spec.federation.allowed[0]"},
			{"a pattern that is a URL", `federation: {denied: ["https://a.example"]}`, "spec.federation.denied[0]"},
		},
		"other": {
			{"two sources of the certificate", "tls: {secretName: a, issuerRef: {name: b}}", "give exactly one of issuerRef (cert-manager obtains the certificate) and secretName (you provide it)"},
			{"no source of the certificate", "tls: {}", "give exactly one of issuerRef"},
			{"delegation on an IPv4 address", "{serverName: 192.0.2.1, wellKnown: {enabled: true}}", "wellKnown cannot be served on a server name that is an IP address"},
			{"delegation on an IPv6 address", `{serverName: "[::1]:8448", wellKnown: {enabled: true}}`, "wellKnown cannot be served on a server name that is an IP address"},
			{"a volume of 1Mi", "storage: {size: 1Mi}", "size must be at least 100Mi"},
			{"a volume of -1Gi", "storage: {size: -1Gi}", "size must be at least 100Mi"},
			{"uploads of 1T", "media: {maxUploadSize: 1T}", "maxUploadSize must be between 1Ki and 10Gi"},
			{"uploads of nothing", "media: {maxUploadSize: 0}", "maxUploadSize must be between 1Ki and 10Gi"},
			{"a proxy that is no network", "ingress: {trustedProxies: [10.0.0.1]}", "must be a network such as 10.0.0.0/8 or fd00::/8"},
			{"a room version that does not exist", `rooms: {defaultVersion: "99"}`, "Unsupported value"},
			{"a burst of nothing", "rateLimits: {message: {burst: -1}}", "should be greater than or equal to 1"},
			{"a log level that does not exist", "logLevel: Loud", "Unsupported value"},
			{"a configuration that is no object", "config: text", "spec.config"},
		},
	}
}

func TestK01ServerName(t *testing.T)         { checkRefusals(t, creationRefusals()["K01"]) }
func TestK04Replicas(t *testing.T)           { checkRefusals(t, creationRefusals()["K04"]) }
func TestK06ProgramsAndImages(t *testing.T)  { checkRefusals(t, creationRefusals()["K06"]) }
func TestK15Labels(t *testing.T)             { checkRefusals(t, creationRefusals()["K15"]) }
func TestK16IngressAnnotations(t *testing.T) { checkRefusals(t, creationRefusals()["K16"]) }
func TestK18Host(t *testing.T)               { checkRefusals(t, creationRefusals()["K18"]) }
func TestK49Administrators(t *testing.T)     { checkRefusals(t, creationRefusals()["K49"]) }
func TestK51OpenRegistration(t *testing.T)   { checkRefusals(t, creationRefusals()["K51"]) }
func TestK52FederationLists(t *testing.T)    { checkRefusals(t, creationRefusals()["K52"]) }
func TestOtherRules(t *testing.T)            { checkRefusals(t, creationRefusals()["other"]) }

// numbered returns n different names separated by commas.
func numbered(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("a%d", i)
	}
	return strings.Join(names, ",")
}

// K9: there is no way to name another namespace.
func TestK09NoNamespaceInReferences(t *testing.T) {
	unknownField(t, tryCreate(t, homeserver(t, "k09",
		"registration: {mode: Token, tokenSecretRef: {name: a, key: b, namespace: kube-system}}")),
		"spec.registration.tokenSecretRef.namespace")
	unknownField(t, tryCreate(t, homeserver(t, "k09", "tls: {issuerRef: {name: a, namespace: b}}")), "spec.tls.issuerRef.namespace")
	unknownField(t, tryCreate(t, homeserver(t, "k09", "imagePullSecrets: [{name: a, namespace: b}]")), "namespace")
}

// K17: what could buy a privileged pod cannot be said; without strict
// validation it is dropped.
func TestK17OnlyListedPodOptions(t *testing.T) {
	for _, field := range []string{
		"hostPath: /", "privileged: true", "serviceAccountName: admin", "hostNetwork: true", "securityContext: {runAsUser: 0}",
		"volumes: []", "containers: []", "runtimeClassName: x", "automountServiceAccountToken: true",
	} {
		name, _, _ := strings.Cut(field, ":")
		t.Run(name, func(t *testing.T) {
			unknownField(t, tryCreate(t, homeserver(t, "k17", "pod: {"+field+"}")), "spec.pod."+name)
			lax := homeserver(t, "k17", "pod: {"+field+"}")
			if err := api.Create(t.Context(), lax, client.DryRunAll, client.FieldValidation("Ignore")); err != nil {
				t.Fatal(err)
			}
			if pod, found, err := unstructured.NestedMap(lax.Object, "spec", "pod"); err != nil || len(pod) > 0 {
				t.Errorf("stored (%t, %v): %v", found, err, pod)
			}
		})
	}
}

// update is a change of a stored object that the API server must refuse.
type update struct {
	name         string
	before       string
	after        string
	want         string
	wantAccepted bool
}

func updateRefusals() map[string][]update {
	return map[string][]update{
		"K02": {
			{name: "the server name", after: "serverName: other.example", want: "serverName cannot be changed: create another Homeserver"},
			{name: "the program", after: "implementation: Synapse", want: "implementation cannot be changed: the programs do not share a database"},
			{name: "the storage class", before: "storage: {storageClassName: a}", after: "storage: {storageClassName: b}", want: classChanged},
		},
		"K03": {
			{name: "removing the storage class", before: "storage: {storageClassName: a}", after: "storage: {size: 10Gi}", want: classAppeared},
			{name: "removing the whole storage", before: "storage: {storageClassName: a}", after: "storage: null", want: classAppeared},
			{name: "adding a storage class", after: "storage: {storageClassName: a}", want: classAppeared},
			{name: "removing the program, which defaults to the same", after: "implementation: null", wantAccepted: true},
		},
		"K20": {
			{name: "a smaller volume", before: "storage: {size: 10Gi}", after: "storage: {size: 9Gi}", want: "size cannot shrink: volumes can only grow"},
			{name: "a smaller volume in another unit", before: "storage: {size: 10Gi}", after: "storage: {size: 10G}", want: "size cannot shrink"},
			{name: "the default in place of a larger volume", before: "storage: {size: 20Gi}", after: "storage: null", want: "size cannot shrink"},
			{name: "a larger volume", before: "storage: {size: 10Gi}", after: "storage: {size: 11Gi}", wantAccepted: true},
			{name: "the same size in another unit", before: "storage: {size: 1Gi}", after: "storage: {size: 1024Mi}", wantAccepted: true},
		},
	}
}

func TestK02ImmutableFields(t *testing.T)     { checkUpdates(t, updateRefusals()["K02"]) }
func TestK03RemovedThenSetAnew(t *testing.T)  { checkUpdates(t, updateRefusals()["K03"]) }
func TestK20VolumeDoesNotShrink(t *testing.T) { checkUpdates(t, updateRefusals()["K20"]) }
func checkUpdates(t *testing.T, cases []update) {
	t.Helper()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			before := test.before
			if before == "" {
				before = "suspend: false"
			}
			object := homeserver(t, "updated", before)
			store(t, object)
			change(t, object, test.after)
			err := api.Update(t.Context(), object, client.DryRunAll, client.FieldValidation("Strict"))
			if test.wantAccepted {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			refused(t, err, test.want)
		})
	}
}

// K19: every name that Kubernetes allows is accepted; the children's names
// are made valid (internal/naming).
func TestK19ObjectNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("a", 60), "with.dots.in.it", "9starts-with-a-digit", strings.Repeat("a.", 126) + "a"} {
		if err := tryCreate(t, homeserver(t, name, "suspend: false")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// K50: the API server refuses what is too large, and goes on.
func TestK50TooLargeObject(t *testing.T) {
	large := homeserver(t, "k50", "suspend: false")
	if err := unstructured.SetNestedField(large.Object, strings.Repeat("x", 1600<<10), "spec", "config", "x"); err != nil {
		t.Fatal(err)
	}
	if err := api.Create(t.Context(), large); err == nil {
		t.Error("accepted")
		_ = api.Delete(t.Context(), large)
	}
	if err := tryCreate(t, homeserver(t, "k50", "suspend: false")); err != nil {
		t.Errorf("the API server no longer accepts a small one: %v", err)
	}
}

func TestAcceptedSpecs(t *testing.T) {
	for _, test := range []struct{ name, spec string }{
		{"a server name with a port", "serverName: campus.example:8448"},
		{"an IPv4 server name", "serverName: 192.0.2.1"},
		{"an IPv6 server name with a port", `serverName: "[2001:db8::1]:8448"`},
		{"a server name of one label", "serverName: localhost"},
		{"a server name of 230 characters", "serverName: " + strings.Repeat("a.", 114) + "aa"},
		{"host and server name being the same", "{serverName: campus.example, host: campus.example}"},
		{"open registration, acknowledged", "registration: {mode: Open, openAcknowledged: true}"},
		{"no administrators", "admins: []"},
		{"a registry with a port, a tag and a digest", "image: registry.example:5000/a/b-c:1.2@sha256:" + strings.Repeat("0", 64)},
		{"an own label of the operator, which wins", "pod: {labels: {app.kubernetes.io/instance: x}}"},
		{"an upload limit for nginx", `ingress: {annotations: {nginx.ingress.kubernetes.io/proxy-body-size: 100m}}`},
		{"a JSON annotation", `ingress: {annotations: {alb.ingress.kubernetes.io/actions.x: '{"Type":"redirect"}'}}`},
		{"one thousand administrators", "admins: [" + numbered(1000) + "]"},
		{"wildcards in federation lists", `federation: {enabled: true, allowed: ["*.campus.example", "a?.example", "[::1]:8448"]}`},
		{"any further configuration", "config: {wellKnown: {server: a}, unknown: [1, {deep: true}]}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := tryCreate(t, homeserver(t, "accepted", test.spec)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Defaults live in the definition, so that every tool sees the same object.
func TestDefaults(t *testing.T) {
	object := homeserver(t, "defaults", "suspend: null")
	if err := tryCreate(t, object); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"implementation": "Builtin", "replicas": int64(1), "logLevel": "Info", "deletionPolicy": "Retain",
		"imagePullPolicy": "IfNotPresent", "storage.size": "10Gi", "ingress.enabled": true, "registration.mode": "Closed",
		"resources.limits.memory": "1Gi",
	} {
		got, found, err := unstructured.NestedFieldNoCopy(object.Object, append([]string{"spec"}, strings.Split(path, ".")...)...)
		if err != nil || !found || got != want {
			t.Errorf("%s is %v (%v), want %v", path, got, err, want)
		}
	}
}

// Every rule in the definition has a case above that meets its message.
func TestEveryRuleHasACase(t *testing.T) {
	var wanted strings.Builder
	for _, cases := range creationRefusals() {
		for _, test := range cases {
			wanted.WriteString(test.want + "\n")
		}
	}
	for _, cases := range updateRefusals() {
		for _, test := range cases {
			wanted.WriteString(test.want + "\n")
		}
	}
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	for _, definition := range definitions {
		for _, message := range messages(*definition.Spec.Versions[0].Schema.OpenAPIV3Schema) {
			if !strings.Contains(wanted.String(), message) {
				t.Errorf("no test meets the rule %q", message)
			}
		}
	}
}

func messages(schema apiextensionsv1.JSONSchemaProps) []string {
	var found []string
	for _, rule := range schema.XValidations {
		found = append(found, rule.Message)
	}
	for _, child := range schema.Properties {
		found = append(found, messages(child)...)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		found = append(found, messages(*schema.Items.Schema)...)
	}
	return found
}
