// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/config/crd"
	"github.com/foyer-matrix/foyer/internal/credentials"
	"github.com/foyer-matrix/foyer/internal/manifest"
	"github.com/foyer-matrix/foyer/internal/manifest/homeserver"
	"github.com/foyer-matrix/foyer/internal/naming"
)

const renderHelp = `Render prints every object that the operator would apply for the objects of
this API in FILE ("-" is standard input), without a cluster. It fills in the
same defaults and enforces the same rules as the API server, and calls the same
builders as the operator.

Secrets in FILE are used where objects refer to them. What only a cluster knows
appears as a placeholder:

  - values that the operator generates once (signing key, administrators'
    passwords, registration token): "placeholder-generated-in-the-cluster", and
    a signing key called "placeholder" that no server accepts;
  - with --allow-missing-secrets, the value of a Secret that an object refers to
    and that is not in FILE: the same placeholder. Without that flag such a
    Secret is an error that names it.

Other kinds in FILE, such as a Namespace, are skipped. Since the configuration
hash covers generated values, it differs from the one in the cluster.`

type renderFlags struct {
	file         string
	image        string
	allowMissing bool
}

// Render returns the command that prints what the operator would apply.
func Render() *cobra.Command {
	flags := renderFlags{}
	command := &cobra.Command{
		Use:   "render -f FILE",
		Short: "Print the objects that the operator would apply, without a cluster",
		Long:  renderHelp,
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			text, err := readInput(flags.file, command.InOrStdin())
			if err != nil {
				return err
			}
			out, err := render(command.Context(), flags, text)
			if err != nil {
				return err
			}
			_, err = command.OutOrStdout().Write(out)
			return err
		},
	}
	set := command.Flags()
	set.StringVarP(&flags.file, "file", "f", "", `file with one or more objects; "-" is standard input (required)`)
	set.StringVar(&flags.image, "homeserver-image", "ghcr.io/foyer-matrix/foyer:latest", "image of homeservers whose spec names none")
	set.BoolVar(&flags.allowMissing, "allow-missing-secrets", false, "show a placeholder for the value of a Secret that is not in the file")
	return command
}

func readInput(file string, stdin io.Reader) ([]byte, error) {
	switch file {
	case "":
		return nil, errors.New("-f FILE is required")
	case "-":
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

// renderInput is what a file holds.
type renderInput struct {
	homeservers []*matrixv1alpha1.Homeserver
	secrets     map[types.NamespacedName]*corev1.Secret
}

// render builds every object of text and returns them as YAML. All that is
// wrong is reported at once.
func render(ctx context.Context, flags renderFlags, text []byte) ([]byte, error) {
	input, err := parse(ctx, text)
	if err != nil {
		return nil, err
	}
	if len(input.homeservers) == 0 {
		return nil, errors.New("the file holds no object of this API")
	}
	var objects []client.Object
	var problems []error
	for _, hs := range input.homeservers {
		built, err := renderHomeserver(hs, input, flags)
		if err != nil {
			problems = append(problems, fmt.Errorf("homeserver %s: %w", hs.Name, err))
			continue
		}
		objects = append(objects, built...)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return manifest.YAML(objects)
}

func renderHomeserver(hs *matrixv1alpha1.Homeserver, input renderInput, flags renderFlags) ([]client.Object, error) {
	values, err := renderCredentials(hs, input, flags)
	if err != nil {
		return nil, err
	}
	return homeserver.Homeserver(homeserver.Inputs{Homeserver: hs, Credentials: values, Image: flags.image})
}

// renderCredentials takes what the file's Secrets hold, and placeholders for
// the rest.
func renderCredentials(hs *matrixv1alpha1.Homeserver, input renderInput, flags renderFlags) (credentials.Homeserver, error) {
	values := credentials.Placeholders(hs)
	names := naming.ForHomeserver(hs)
	existing := credentials.Existing{
		SigningKey: input.secret(hs.Namespace, names.SigningKeySecret().Name),
		Admins:     input.secret(hs.Namespace, names.AdminsSecret().Name),
	}
	tokens := credentials.RegistrationTokensReference(hs)
	existing.RegistrationTokens = input.secret(hs.Namespace, tokens.Name)
	placeholderToken := existing.RegistrationTokens == nil && flags.allowMissing
	if placeholderToken {
		existing.RegistrationTokens = &corev1.Secret{Data: map[string][]byte{tokens.Key: []byte(values.RegistrationTokensText())}}
	}
	found, err := credentials.ForHomeserver(hs, existing)
	if err != nil {
		return values, err
	}
	if existing.SigningKey != nil {
		values.SigningKey = found.SigningKey
	}
	if existing.Admins != nil {
		for localpart := range existing.Admins.Data {
			values.AdminPasswords[localpart] = found.AdminPasswords[localpart]
		}
	}
	if existing.RegistrationTokens != nil {
		values.RegistrationTokens = found.RegistrationTokens
	}
	return values, nil
}

func (i renderInput) secret(namespace, name string) *corev1.Secret {
	return i.secrets[types.NamespacedName{Namespace: namespace, Name: name}]
}

// parse reads the documents of text, with defaults filled in.
func parse(ctx context.Context, text []byte) (renderInput, error) {
	input := renderInput{secrets: map[types.NamespacedName]*corev1.Secret{}}
	admission, err := crd.NewAdmission()
	if err != nil {
		return input, err
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var problems []error
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return input, errors.Join(problems...)
		}
		if err != nil {
			return input, fmt.Errorf("document %d: %w", number, err)
		}
		if err := input.add(ctx, admission, document); err != nil {
			problems = append(problems, fmt.Errorf("document %d: %w", number, err))
		}
	}
}

// add reads one document; an empty one is nothing.
func (i *renderInput) add(ctx context.Context, admission *crd.Admission, document []byte) error {
	object, err := crd.Decode(document)
	if err != nil {
		return err
	}
	gvk := object.GroupVersionKind()
	switch {
	case len(object.Object) == 0:
		return nil
	case gvk.Kind == "":
		return errors.New("it has no kind")
	case gvk.Group == matrixv1alpha1.Group:
		return i.addHomeserver(ctx, admission, object)
	case gvk.Group == "" && gvk.Kind == "Secret":
		return i.addSecret(object)
	}
	return nil
}

func (i *renderInput) addHomeserver(ctx context.Context, admission *crd.Admission, object *unstructured.Unstructured) error {
	if err := admission.Admit(ctx, object); err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	hs := &matrixv1alpha1.Homeserver{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, hs); err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	// A status in the file is not the user's to write.
	hs.Status = matrixv1alpha1.HomeserverStatus{}
	i.homeservers = append(i.homeservers, hs)
	return nil
}

func (i *renderInput) addSecret(object *unstructured.Unstructured) error {
	secret := &corev1.Secret{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, secret); err != nil {
		return fmt.Errorf("secret %s: %w", object.GetName(), err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for key, value := range secret.StringData {
		secret.Data[key] = []byte(value)
	}
	i.secrets[types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}] = secret
	return nil
}
