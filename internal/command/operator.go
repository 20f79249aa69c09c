// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/foyer-matrix/foyer/controllers"
)

// namespaceFile is where Kubernetes tells a pod its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

type operatorFlags struct {
	namespaces     []string
	image          string
	metricsAddress string
	healthAddress  string
	leaderElect    bool
	leaseNamespace string
	logLevel       string
}

// Operator returns the command that runs the operator in a cluster.
func Operator() *cobra.Command {
	flags := operatorFlags{}
	command := &cobra.Command{
		Use:   "operator",
		Short: "Run the operator: turn Homeserver objects into running homeservers",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runOperator(ctx, flags, command.ErrOrStderr())
		},
	}
	set := command.Flags()
	set.StringSliceVar(&flags.namespaces, "watch-namespaces", nil, "namespaces to look after, separated by commas; none: the whole cluster")
	set.StringVar(&flags.image, "homeserver-image", "", "image of homeservers whose spec names none (required)")
	set.StringVar(&flags.metricsAddress, "metrics-bind-address", ":8443", "address of /metrics, over HTTPS and for those who may read it only; 0 switches it off")
	set.StringVar(&flags.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 switches them off")
	set.BoolVar(&flags.leaderElect, "leader-elect", true, "let only one of several operators act")
	set.StringVar(&flags.leaseNamespace, "leader-election-namespace", "", "namespace of the leader's lease; default: the operator's own")
	set.StringVar(&flags.logLevel, "log-level", "info", "debug, info, warn or error")
	return command
}

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create,roleName=foyer-operator-cluster
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create,roleName=foyer-operator-cluster

// runOperator runs until ctx ends; that is no error. It returns an error when
// the lead is lost, so that the process ends and starts anew.
func runOperator(ctx context.Context, flags operatorFlags, logs io.Writer) error {
	if flags.image == "" {
		return errors.New("--homeserver-image is required: the image of this very program, so that both always match")
	}
	if err := setLogger(logs, flags.logLevel); err != nil {
		return err
	}
	lease, err := flags.lease()
	if err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	config.QPS, config.Burst = 50, 100
	mgr, err := controllers.NewManager(ctx, config, controllers.ManagerOptions{
		Namespaces:     flags.namespaces,
		Image:          flags.image,
		LeaseNamespace: lease,
		Manager: ctrl.Options{
			HealthProbeBindAddress: flags.healthAddress,
			Metrics: metricsserver.Options{
				BindAddress:    flags.metricsAddress,
				SecureServing:  true,
				FilterProvider: guardMetrics,
			},
		},
	})
	if err != nil {
		return err
	}
	// Runs once the caches are filled: the start is over then.
	settled := manager.RunnableFunc(func(ctx context.Context) error {
		if mgr.GetCache().WaitForCacheSync(ctx) {
			debug.FreeOSMemory()
			dropStartPages()
		}
		return nil
	})
	if err := mgr.Add(settled); err != nil {
		return fmt.Errorf("prepare the operator: %w", err)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run the operator: %w", err)
	}
	return nil
}

// lease returns the namespace of the lease; empty without leader election.
func (f operatorFlags) lease() (string, error) {
	if !f.leaderElect {
		return "", nil
	}
	if f.leaseNamespace != "" {
		return f.leaseNamespace, nil
	}
	own, err := os.ReadFile(namespaceFile)
	if err != nil {
		return "", fmt.Errorf("--leader-election-namespace is needed outside of a cluster: %w", err)
	}
	return string(own), nil
}

// setLogger sends the logs of the operator and of its libraries to out as JSON.
func setLogger(out io.Writer, level string) error {
	var minimum slog.Level
	if err := minimum.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	handler := slog.NewJSONHandler(out, &slog.HandlerOptions{Level: minimum})
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetSlogLogger(slog.New(handler))
	return nil
}
