package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
)

// signContext precedes the plugin's bytes in what is signed, so that the
// signature means nothing elsewhere.
const signContext = "pquic plugin 1\n"

func signCommand() *cli.Command {
	var key, check string
	flags := []cli.Flag{
		cliutil.Flag{Name: "key", Usage: "sign by the Ed25519 key in this PEM `FILE`; if there is none, a new one is made"}.String(&key),
		cliutil.Flag{Name: "check", Usage: "check the signature by the public key in this PEM `FILE` instead"}.String(&check),
	}
	return cliutil.Command("sign", "sign a plugin, or check its signature", "pquic-plugin sign --key FILE FILE.o",
		`Writes an Ed25519 signature of FILE.o to FILE.o.sig, and the public key to the key's file
name ending in .pub.`,
		flags, &cliutil.Help{
			Examples: []cliutil.Example{
				{Does: "sign", Line: "pquic-plugin sign --key my.pem hello.o"},
				{Does: "check", Line: "pquic-plugin sign --check my.pem.pub hello.o"},
			},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			if !c.Args().Present() || (key == "") == (check == "") {
				return cliutil.Usagef("want a file and either --key or --check")
			}
			if err := noMore(c, 1); err != nil {
				return err
			}
			file := c.Args().First()
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			message := append([]byte(signContext), b...)
			if check != "" {
				if err := checkSignature(check, file+".sig", message); err != nil {
					return err
				}
				_, err := fmt.Fprintf(c.App.Writer, "%s: the signature is right\n", file)
				return err
			}
			k, err := signingKey(key)
			if err != nil {
				return err
			}
			sig := base64.StdEncoding.EncodeToString(ed25519.Sign(k, message)) + "\n"
			if err := os.WriteFile(file+".sig", []byte(sig), 0o666); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.Writer, "%s.sig\n", file)
			return err
		})
}

// signingKey reads a private key, or makes one.
func signingKey(file string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return newKey(file)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if k, ok := k.(ed25519.PrivateKey); ok {
		return k, nil
	}
	return nil, fmt.Errorf("%s holds no Ed25519 key", file)
}

func newKey(file string) (ed25519.PrivateKey, error) {
	pub, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return nil, err
	}
	return k, os.WriteFile(file+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o666)
}

func checkSignature(keyFile, sigFile string, message []byte) error {
	b, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return fmt.Errorf("%s holds no PEM block", keyFile)
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", keyFile, err)
	}
	pub, ok := k.(ed25519.PublicKey)
	if !ok {
		return fmt.Errorf("%s holds no Ed25519 key", keyFile)
	}
	text, err := os.ReadFile(sigFile)
	if err != nil {
		return err
	}
	sig, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || !ed25519.Verify(pub, message, sig) {
		return fmt.Errorf("%s is no signature of the plugin by that key", sigFile)
	}
	return nil
}
