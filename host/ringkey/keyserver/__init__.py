"""The key server: key generating agent, key files, Secure and Advanced Secure File Service."""
