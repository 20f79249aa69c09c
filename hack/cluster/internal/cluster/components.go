// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/config"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/objects"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/pki"
)

// component is one daemon.
type component struct {
	name string
	// program is a path, or a name in the bin folder.
	program string
	args    []string
	// env is added to the few variables that every daemon gets.
	env []string
	// outside runs it in the machine's network namespace instead of the node's.
	outside bool
	// healthy returns nil when it does its work; nil asks only that it runs.
	healthy func(context.Context) error
}

// stages are the daemons in the order of their start: those of one stage need
// those of the stages before. They stop in the opposite order.
func (c *Cluster) stages(o Options) [][]component {
	return [][]component{
		{c.etcd(), c.containerd()},
		{c.apiServer()},
		{
			c.controllerManager(), c.scheduler(), c.kubelet(), c.kubeProxy(),
			c.coreDNS(), c.storage(), c.certManager(),
			c.ingress("ingress-https", true), c.ingress("ingress-http", false),
			c.relay("relay-https", o.HTTPS, layout.IngressHTTPSPort), c.relay("relay-http", o.HTTP, layout.IngressHTTPPort),
		},
	}
}

func (c *Cluster) etcd() component {
	client := fmt.Sprintf("http://127.0.0.1:%d", layout.EtcdPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", layout.EtcdPeerPort)
	metrics := "http://" + layout.NodePort(layout.EtcdMetricsPort)
	return component{
		name: "etcd", program: "etcd",
		args: []string{
			"--name=" + layout.NodeName, "--data-dir=" + c.Dirs.Data("etcd"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=" + layout.NodeName + "=" + peer,
			"--listen-metrics-urls=" + metrics,
			// The data is thrown away more often than a machine loses power.
			"--unsafe-no-fsync", "--auto-compaction-retention=1h", "--log-level=warn",
		},
		healthy: c.get(metrics + "/health"),
	}
}

func (c *Cluster) containerd() component {
	return component{
		name: "containerd", program: "/usr/bin/containerd",
		args:    []string{"--config", c.Dirs.Config("containerd.toml"), "--log-level", "info"},
		healthy: func(ctx context.Context) error { _, err := c.ctr(ctx, "plugins", "ls", "-q", "id==cri"); return err },
	}
}

func (c *Cluster) apiServer() component {
	key := func(base string) string { return c.Dirs.PKI(base + ".key") }
	crt := func(base string) string { return c.Dirs.PKI(base + ".crt") }
	return component{
		name: "kube-apiserver", program: "kube-apiserver",
		args: []string{
			fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", layout.EtcdPort),
			"--bind-address=" + layout.NodeAddress.String(), "--advertise-address=" + layout.NodeAddress.String(),
			fmt.Sprintf("--secure-port=%d", layout.APIPort),
			"--service-cluster-ip-range=" + layout.ServiceRange.String(),
			"--tls-cert-file=" + crt(pki.APIServer), "--tls-private-key-file=" + key(pki.APIServer),
			"--client-ca-file=" + crt(pki.ClusterCA), "--token-auth-file=" + c.Dirs.PKI(pki.Tokens),
			"--service-account-issuer=https://kubernetes.default.svc." + layout.ClusterDomain,
			"--service-account-key-file=" + c.Dirs.PKI(pki.ServiceAccount+".pub"),
			"--service-account-signing-key-file=" + key(pki.ServiceAccount),
			"--kubelet-client-certificate=" + crt(pki.KubeletClient), "--kubelet-client-key=" + key(pki.KubeletClient),
			"--kubelet-certificate-authority=" + crt(pki.ClusterCA),
			// The node's name is in no DNS.
			"--kubelet-preferred-address-types=InternalIP",
			"--requestheader-client-ca-file=" + crt(pki.FrontProxyCA),
			"--requestheader-allowed-names=" + pki.FrontProxy,
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + crt(pki.FrontProxy), "--proxy-client-key-file=" + key(pki.FrontProxy),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--allow-privileged=true", "--profiling=false",
		},
		healthy: c.get(config.Server + "/readyz"),
	}
}

// secured are the arguments that the two controllers of the control plane share.
func (c *Cluster) secured(name string, port int) []string {
	kubeconfig := c.Dirs.Config(name + ".kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=" + layout.NodeAddress.String(), fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + c.Dirs.PKI(pki.NodeServing+".crt"), "--tls-private-key-file=" + c.Dirs.PKI(pki.NodeServing+".key"),
		"--leader-elect=false", "--profiling=false",
	}
}

func (c *Cluster) controllerManager() component {
	const name = "kube-controller-manager"
	return component{
		name: name, program: name,
		args: append(c.secured(name, layout.ControllerManagerPort),
			"--root-ca-file="+c.Dirs.PKI(pki.ClusterCA+".crt"),
			"--service-account-private-key-file="+c.Dirs.PKI(pki.ServiceAccount+".key"),
			"--cluster-signing-cert-file="+c.Dirs.PKI(pki.ClusterCA+".crt"),
			"--cluster-signing-key-file="+c.Dirs.PKI(pki.ClusterCA+".key"),
			"--use-service-account-credentials=true", "--allocate-node-cidrs=false",
		),
		healthy: c.get("https://" + layout.NodePort(layout.ControllerManagerPort) + "/healthz"),
	}
}

func (c *Cluster) scheduler() component {
	const name = "kube-scheduler"
	return component{
		name: name, program: name,
		args:    c.secured(name, layout.SchedulerPort),
		healthy: c.get("https://" + layout.NodePort(layout.SchedulerPort) + "/healthz"),
	}
}

func (c *Cluster) kubelet() component {
	return component{
		name: "kubelet", program: "kubelet",
		args: []string{
			"--config=" + c.Dirs.Config("kubelet.json"), "--kubeconfig=" + c.Dirs.Config("kubelet.kubeconfig"),
			"--root-dir=" + c.Dirs.Data("kubelet"), "--cert-dir=" + c.Dirs.Data("kubelet", "pki"),
			"--hostname-override=" + layout.NodeName, "--node-ip=" + layout.NodeAddress.String(),
		},
		healthy: c.get("http://" + layout.NodePort(layout.KubeletHealthPort) + "/healthz"),
	}
}

func (c *Cluster) kubeProxy() component {
	return component{
		name: "kube-proxy", program: "kube-proxy",
		args:    []string{"--config=" + c.Dirs.Config("kube-proxy.json")},
		healthy: c.get("http://" + layout.NodePort(layout.ProxyHealthPort) + "/healthz"),
	}
}

func (c *Cluster) coreDNS() component {
	return component{
		name: "coredns", program: "coredns",
		args:    []string{"-conf", c.Dirs.Config("Corefile")},
		healthy: c.get("http://" + layout.NodePort(layout.DNSReadyPort) + "/ready"),
	}
}

func (c *Cluster) storage() component {
	return component{
		name: "local-path-provisioner", program: "local-path-provisioner",
		args: []string{
			"start", "--config", c.Dirs.Config("local-path.json"),
			"--kubeconfig", c.Dirs.Config("local-path-provisioner.kubeconfig"),
			"--namespace", config.StorageNamespace, "--configmap-name", config.StorageConfigMap,
			"--service-account-name", config.StorageServiceAccount,
			"--helper-image", config.BusyboxImage, "--helper-pod-file", c.Dirs.Config("helper-pod.json"),
		},
	}
}

func (c *Cluster) certManager() component {
	address := layout.NodePort(layout.CertManagerPort)
	return component{
		name: "cert-manager", program: "certmanager",
		args: []string{
			"--kubeconfig", c.Dirs.Config("cert-manager.kubeconfig"),
			"--cluster-resource-namespace", objects.CertManagerNamespace, "--health-address", address,
		},
		healthy: c.get("http://" + address + "/livez"),
	}
}

// ingress runs the ingress controller once for each scheme: what it says in
// X-Forwarded-Proto is fixed for a process, and the redirect from http to https
// depends on it.
func (c *Cluster) ingress(name string, secure bool) component {
	address, support, proto := layout.NodePort(layout.IngressHTTPPort), layout.NodePort(layout.IngressHTTPSupport), "http"
	if secure {
		address, support, proto = layout.NodePort(layout.IngressHTTPSPort), layout.NodePort(layout.IngressHTTPSSupport), "https"
	}
	args := []string{
		"-kubernetes", "-kubernetes-url=" + config.Server, "-kubernetes-token-file=" + c.Dirs.PKI(pki.IngressToken),
		"-kubernetes-ingress-class=^" + objects.IngressClass + "$", "-kubernetes-path-mode=path-prefix",
		"-enable-kubernetes-endpointslices", "-source-poll-timeout=1000",
		"-address=" + address, "-support-listener=" + support,
		"-forwarded-headers=X-Forwarded-For,X-Forwarded-Host,X-Forwarded-Port=" + strings.TrimPrefix(address, layout.NodeAddress.String()+":") +
			",X-Forwarded-Proto=" + proto,
		// A client of Matrix waits for minutes, and uploads are long.
		"-read-timeout-server=1h", "-write-timeout-server=1h", "-idle-timeout-server=10m",
		"-response-header-timeout-backend=1h", "-experimental-upgrade", "-proxy-preserve-host",
		"-access-log-disabled",
		// It waits this long for a load balancer that is not there.
		"-wait-for-healthcheck-interval=0s",
	}
	if secure {
		args = append(args, "-kubernetes-enable-tls")
	}
	return component{
		name: name, program: "skipper", args: args,
		// It has no option for the API server's authority.
		env:     []string{"SSL_CERT_FILE=" + c.Dirs.PKI(pki.ClusterCA+".crt"), "SSL_CERT_DIR=/nonexistent"},
		healthy: c.get("http://" + support + "/metrics"),
	}
}

// relay lets browsers on this machine reach the ingress by a loopback address.
func (c *Cluster) relay(name, listen string, port uint16) component {
	return component{
		name: name, program: "cluster", outside: true,
		args:    []string{"relay", listen, layout.NodePort(port)},
		healthy: dial(listen),
	}
}
