// SPDX-License-Identifier: Apache-2.0

//go:build goolm && e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"maunium.net/go/mautrix/id"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/test/chat"
)

// openHomeserver is a Homeserver on which anybody may register.
func openHomeserver(name, serverName string) string {
	return fmt.Sprintf(`
apiVersion: matrix.foyer.im/v1alpha1
kind: Homeserver
metadata:
  name: %[1]s
spec:
  serverName: %[2]s
  host: matrix.%[2]s
  ingress:
    className: skipper
  tls:
    issuerRef:
      name: foyer-ca
      kind: ClusterIssuer
  registration:
    mode: Open
    openAcknowledged: true
  rateLimits:
    disabled: true
  admins: [admin]
`, name, serverName)
}

// TestChatGoesOnThroughAKilledPodAndADeletedHomeserver is the story of the
// product: one YAML file, and people chat, whatever happens to the pod.
func TestChatGoesOnThroughAKilledPodAndADeletedHomeserver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	c := kubeClient(t)
	namespace := newNamespace(t, c)
	serverName := namespace + "." + env.domain
	yaml := openHomeserver("chat", serverName)
	apply(t, namespace, yaml)
	key := client.ObjectKey{Namespace: namespace, Name: "chat"}
	condition(ctx, t, c, key, matrixv1.ConditionReady, metav1.ConditionTrue, "")

	to := server(t, "matrix."+serverName)
	until(ctx, t, "the ingress", func() error { return chat.Reachable(ctx, to) })
	alice, err := chat.Register(ctx, to, "alice", "correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := chat.Register(ctx, to, "bob", "staple battery horse correct")
	if err != nil {
		t.Fatal(err)
	}
	room, err := chat.EncryptedRoom(ctx, alice, bob)
	if err != nil {
		t.Fatal(err)
	}
	if err := chat.Exchange(ctx, room, alice, bob); err != nil {
		t.Fatal(err)
	}

	sendThroughAKill(ctx, t, c, key, room, alice, bob)

	recreate(ctx, t, c, key, yaml)
	until(ctx, t, "the ingress", func() error { return chat.Reachable(ctx, to) })
	// The same sessions and the same room go on: nobody signs in again.
	if err := chat.Exchange(ctx, room, bob, alice); err != nil {
		t.Fatal(err)
	}
	for _, u := range []*chat.User{alice, bob} {
		exactlyOnce(t, u, room, 500)
	}
}

// sendThroughAKill sends 500 messages, kills the pod in the middle, and checks
// that each one that was acknowledged arrives once at both users.
func sendThroughAKill(ctx context.Context, t *testing.T, c client.Client, key client.ObjectKey, room id.RoomID, alice, bob *chat.User) {
	t.Helper()
	const messages, senders = 500, 5
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, senders)
	middle := make(chan struct{})
	for s := range senders {
		wg.Go(func() {
			for i := s; i < messages; i += senders {
				if _, err := alice.SendUntilAcknowledged(ctx, room, fmt.Sprintf("message %d", i)); err != nil {
					errs <- err
					return
				}
				if acknowledged.Add(1) == messages/2 {
					close(middle)
				}
			}
		})
	}
	select {
	case <-middle:
	case err := <-errs:
		t.Fatal(err)
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(key.Namespace), client.MatchingLabels{"app.kubernetes.io/instance": key.Name}); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("%d pods, not 1", len(pods.Items))
	}
	if err := c.Delete(ctx, &pods.Items[0], client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	for _, u := range []*chat.User{alice, bob} {
		if err := u.WaitForMessages(ctx, room, "message ", messages); err != nil {
			t.Fatal(err)
		}
		exactlyOnce(t, u, room, messages)
	}
}

func exactlyOnce(t *testing.T, u *chat.User, room id.RoomID, messages int) {
	t.Helper()
	seen := u.Messages(room, "message ")
	for i := range messages {
		body := fmt.Sprintf("message %d", i)
		if seen[body] != 1 {
			t.Errorf("%s saw %q %d times", u.UserID, body, seen[body])
		}
	}
}

// recreate deletes the Homeserver, checks that what it owned goes and that
// the data stays, and applies the same YAML again.
func recreate(ctx context.Context, t *testing.T, c client.Client, key client.ObjectKey, yaml string) {
	t.Helper()
	var before corev1.PersistentVolumeClaimList
	if err := c.List(ctx, &before, client.InNamespace(key.Namespace)); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "delete", "-n", key.Namespace, "homeserver", key.Name, "--timeout=2m")
	gone(ctx, t, c, key, &matrixv1.Homeserver{})
	for _, list := range []client.ObjectList{
		&appsv1.StatefulSetList{}, &corev1.ServiceList{}, &networkingv1.IngressList{}, &networkingv1.NetworkPolicyList{}, &corev1.PodList{},
	} {
		until(ctx, t, fmt.Sprintf("deletion of every %T", list), func() error {
			out, err := countOf(ctx, c, list, key.Namespace)
			if err == nil && out > 0 {
				err = fmt.Errorf("%d are left", out)
			}
			return err
		})
	}
	var after corev1.PersistentVolumeClaimList
	if err := c.List(ctx, &after, client.InNamespace(key.Namespace)); err != nil {
		t.Fatal(err)
	}
	if len(before.Items) != 1 || len(after.Items) != 1 || before.Items[0].UID != after.Items[0].UID || after.Items[0].DeletionTimestamp != nil {
		t.Fatalf("the volume did not stay: %d claims before, %d after", len(before.Items), len(after.Items))
	}
	apply(t, key.Namespace, yaml)
	condition(ctx, t, c, key, matrixv1.ConditionReady, metav1.ConditionTrue, "")
}

func countOf(ctx context.Context, c client.Client, list client.ObjectList, namespace string) (int, error) {
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return 0, err
	}
	switch l := list.(type) {
	case *appsv1.StatefulSetList:
		return len(l.Items), nil
	case *corev1.ServiceList:
		return len(l.Items), nil
	case *networkingv1.IngressList:
		return len(l.Items), nil
	case *networkingv1.NetworkPolicyList:
		return len(l.Items), nil
	case *corev1.PodList:
		return len(l.Items), nil
	default:
		return 0, fmt.Errorf("unexpected list %T", list)
	}
}

func TestTwoHomeserversOfOneServerName(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c := kubeClient(t)
	first, second := newNamespace(t, c), newNamespace(t, c)
	firstName, secondName := first+"."+env.domain, second+"."+env.domain
	apply(t, first, openHomeserver("one", firstName))
	apply(t, second, openHomeserver("two", secondName))
	one, two := client.ObjectKey{Namespace: first, Name: "one"}, client.ObjectKey{Namespace: second, Name: "two"}
	condition(ctx, t, c, one, matrixv1.ConditionReady, metav1.ConditionTrue, "")
	condition(ctx, t, c, two, matrixv1.ConditionReady, metav1.ConditionTrue, "")
	for _, name := range []string{firstName, secondName} {
		to := server(t, "matrix."+name)
		until(ctx, t, "the ingress", func() error { return chat.Reachable(ctx, to) })
	}
	untouched := func() (version string, restarts int32) {
		var sets appsv1.StatefulSetList
		if err := c.List(ctx, &sets, client.InNamespace(first)); err != nil || len(sets.Items) != 1 {
			t.Fatalf("%d StatefulSets, %v", len(sets.Items), err)
		}
		return sets.Items[0].Status.UpdateRevision, sets.Items[0].Status.ReadyReplicas
	}
	revision, ready := untouched()

	apply(t, second, openHomeserver("thief", firstName))
	thief := client.ObjectKey{Namespace: second, Name: "thief"}
	stalled := condition(ctx, t, c, thief, matrixv1.ConditionStalled, metav1.ConditionTrue, matrixv1.ReasonServerNameConflict)
	t.Logf("Stalled: %s", stalled.Message)
	if r, n := untouched(); r != revision || n != ready {
		t.Errorf("the first Homeserver was touched: revision %s to %s, %d to %d ready", revision, r, ready, n)
	}
	condition(ctx, t, c, one, matrixv1.ConditionReady, metav1.ConditionTrue, "")
	if err := chat.Reachable(ctx, server(t, "matrix."+firstName)); err != nil {
		t.Error(err)
	}
}
