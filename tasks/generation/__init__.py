"""Networks that make new data: gan and diffusion, on points in the plane and on images of digits."""
