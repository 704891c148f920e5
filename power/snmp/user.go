package snmp

import (
	"errors"
	"fmt"

	"github.com/gosnmp/gosnmp"
)

// User is a user of SNMPv3. With a name only nothing is authenticated; with a
// privacy passphrase what goes over the line is encrypted too.
type User struct {
	Name string
	// Auth is "MD5", "SHA", "SHA224", "SHA256", "SHA384" or "SHA512", and
	// AuthPassphrase has at least eight characters. Both or none.
	Auth, AuthPassphrase string
	// Privacy is "DES", "AES", "AES192", "AES256", or the variants "AES192C" and
	// "AES256C" that Cisco and others use. It needs Auth.
	Privacy, PrivacyPassphrase string
}

// authProtocol and privProtocol are the library's numbers for the names.
func authProtocol(name string) (gosnmp.SnmpV3AuthProtocol, bool) {
	p, ok := map[string]gosnmp.SnmpV3AuthProtocol{
		"": gosnmp.NoAuth, "MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA224": gosnmp.SHA224,
		"SHA256": gosnmp.SHA256, "SHA384": gosnmp.SHA384, "SHA512": gosnmp.SHA512,
	}[name]
	return p, ok
}

func privProtocol(name string) (gosnmp.SnmpV3PrivProtocol, bool) {
	p, ok := map[string]gosnmp.SnmpV3PrivProtocol{
		"": gosnmp.NoPriv, "DES": gosnmp.DES, "AES": gosnmp.AES, "AES192": gosnmp.AES192,
		"AES256": gosnmp.AES256, "AES192C": gosnmp.AES192C, "AES256C": gosnmp.AES256C,
	}[name]
	return p, ok
}

// minPassphrase is that of RFC 3414, section 11.2.
const minPassphrase = 8

func (u User) validate() error {
	_, authOK := authProtocol(u.Auth)
	_, privOK := privProtocol(u.Privacy)
	switch {
	case u.Name == "":
		return errors.New("the user has no name")
	case !authOK:
		return fmt.Errorf("authentication %q is not known", u.Auth)
	case !privOK:
		return fmt.Errorf("privacy %q is not known", u.Privacy)
	case (u.Auth == "") != (u.AuthPassphrase == ""), (u.Privacy == "") != (u.PrivacyPassphrase == ""):
		return errors.New("a protocol and its passphrase belong together")
	case u.Privacy != "" && u.Auth == "":
		return errors.New("privacy needs authentication")
	case u.Auth != "" && len(u.AuthPassphrase) < minPassphrase, u.Privacy != "" && len(u.PrivacyPassphrase) < minPassphrase:
		return fmt.Errorf("a passphrase has less than %d characters", minPassphrase)
	}
	return nil
}

// apply sets the user of a session. The library writes into its parameters, so
// each session has its own.
func (u User) apply(s *gosnmp.GoSNMP) {
	p := &gosnmp.UsmSecurityParameters{
		UserName: u.Name, AuthenticationPassphrase: u.AuthPassphrase, PrivacyPassphrase: u.PrivacyPassphrase,
	}
	p.AuthenticationProtocol, _ = authProtocol(u.Auth) // validated
	p.PrivacyProtocol, _ = privProtocol(u.Privacy)
	s.SecurityModel, s.SecurityParameters = gosnmp.UserSecurityModel, p
	switch {
	case u.Privacy != "":
		s.MsgFlags = gosnmp.AuthPriv
	case u.Auth != "":
		s.MsgFlags = gosnmp.AuthNoPriv
	default:
		s.MsgFlags = gosnmp.NoAuthNoPriv
	}
}
