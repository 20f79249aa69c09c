// SPDX-License-Identifier: Apache-2.0

//go:build goolm && e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"maunium.net/go/mautrix"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/test/chat"
)

// TestEverySampleBecomesReadyAndIsUsed applies each file of config/samples as
// it stands and signs its administrator in.
func TestEverySampleBecomesReadyAndIsUsed(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	c := kubeClient(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			yaml, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			namespace := newNamespace(t, c)
			apply(t, namespace, string(yaml))
			var all matrixv1.HomeserverList
			if err := c.List(ctx, &all, client.InNamespace(namespace)); err != nil || len(all.Items) != 1 {
				t.Fatalf("%d Homeservers, %v", len(all.Items), err)
			}
			key := client.ObjectKeyFromObject(&all.Items[0])
			condition(ctx, t, c, key, matrixv1.ConditionReady, metav1.ConditionTrue, "")
			useAsAdmin(ctx, t, c, key)
			kubectl(t, "delete", "-n", namespace, "homeserver", key.Name, "--timeout=2m")
			volumeAfterDeletion(ctx, t, c, all.Items[0])
		})
	}
}

// useAsAdmin signs in as the first administrator, with the password from
// where the status says it is, and talks.
func useAsAdmin(ctx context.Context, t *testing.T, c client.Client, key client.ObjectKey) {
	t.Helper()
	var hs matrixv1.Homeserver
	if err := c.Get(ctx, key, &hs); err != nil {
		t.Fatal(err)
	}
	var secret corev1.Secret
	if err := c.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: hs.Status.AdminSecretName}, &secret); err != nil {
		t.Fatal(err)
	}
	name := string(hs.Spec.Admins[0])
	to := addressOf(ctx, t, c, &hs)
	until(ctx, t, "the address", func() error { return chat.Reachable(ctx, to) })
	admin, err := chat.Login(ctx, to, name, string(secret.Data[name]))
	if err != nil {
		t.Fatal(err)
	}
	room, err := admin.CreateRoom(ctx, &mautrix.ReqCreateRoom{Name: "Welcome", Preset: "public_chat"})
	if err != nil {
		t.Fatal(err)
	}
	sent, err := admin.SendText(ctx, room.RoomID, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.WaitForMessage(ctx, room.RoomID, sent.EventID); err != nil {
		t.Fatal(err)
	}
}

// addressOf is the ingress where the sample has a certificate, else the
// Service, as a sample without one relies on what the ingress has.
func addressOf(ctx context.Context, t *testing.T, c client.Client, hs *matrixv1.Homeserver) chat.Server {
	t.Helper()
	if hs.Spec.TLS != nil {
		return server(t, hs.Spec.Host)
	}
	var services corev1.ServiceList
	if err := c.List(ctx, &services, client.InNamespace(hs.Namespace)); err != nil {
		t.Fatal(err)
	}
	for _, s := range services.Items {
		for _, p := range s.Spec.Ports {
			if p.Port == 8008 && s.Spec.ClusterIP != corev1.ClusterIPNone {
				return chat.Server{URL: fmt.Sprintf("http://%s:%d", s.Spec.ClusterIP, p.Port)}
			}
		}
	}
	t.Fatal("no Service with port 8008")
	return chat.Server{}
}

// volumeAfterDeletion checks that the volume is kept or deleted as the
// Homeserver's deletionPolicy says.
func volumeAfterDeletion(ctx context.Context, t *testing.T, c client.Client, hs matrixv1.Homeserver) {
	t.Helper()
	until(ctx, t, "the volume after deletion with policy "+string(hs.Spec.DeletionPolicy), func() error {
		var claims corev1.PersistentVolumeClaimList
		if err := c.List(ctx, &claims, client.InNamespace(hs.Namespace)); err != nil {
			return err
		}
		kept := len(claims.Items) == 1 && claims.Items[0].DeletionTimestamp == nil
		if wanted := hs.Spec.DeletionPolicy != matrixv1.DeletionDelete; kept != wanted {
			return errors.New("it is not as the policy says")
		}
		return nil
	})
}
